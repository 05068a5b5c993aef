import { open, statfs } from 'node:fs/promises'
import { cpus, freemem, totalmem } from 'node:os'
import { type CgroupLimits, cpuSeconds, findLimits, memoryLeftIn, type ReadText } from './cgroup.ts'
import { type AskFolder, type DiskSpace, FolderSpace } from './folder-space.ts'
import type { LoadReading, MemoryLeft } from './load-gate.ts'
import { type CpuTimes, parseMeminfo, parseProcStat } from './proc.ts'

/** The sources of the figures; tests have their own. */
export interface HostSource {
  platform: NodeJS.Platform
  readText: ReadText
  diskSpace: AskFolder<DiskSpace>
  /** The figures that Node has without files. */
  cpuTimes(): CpuTimes
  memory(): { free: number; total: number }
  /** Milliseconds of a clock that doesn't jump. */
  now(): number
}

export interface HostReading extends Pick<LoadReading, 'cpu' | 'memory'> {
  /** By folder. */
  disks?: ReadonlyMap<string, DiskSpace> | undefined
}

/** Limits can be changed while a process runs, but rarely are. */
const LIMITS_MS = 30_000
/** Differences over less time show the clock's ticks more than the load. */
const SHORTEST_MS = 100

/**
 * The CPU, memory and disk that this process can use. The tightest limit of its control groups and of the machine counts: free memory
 * in a container does not help on a full machine. Linux is read from `/sys/fs/cgroup` (versions 1 and 2) and `/proc`, other systems
 * through `node:os`.
 */
export class HostLoad {
  readonly #source: HostSource
  readonly #space: FolderSpace
  #limits: CgroupLimits = { cpu: [], memory: [] }
  #limitsUntil = Number.NEGATIVE_INFINITY
  /** The last figures of each source of CPU time, and the busy part computed from them. */
  readonly #cpu = new Map<string, CpuTimes & { part: number | undefined }>()

  constructor(folders: Iterable<string> = [], source: HostSource = thisHost()) {
    this.#source = source
    this.#space = new FolderSpace(folders, source.diskSpace)
  }

  /**
   * One reading. CPU is the busy part since the last reading, so the first has none. Never throws: what can't be read is
   * `undefined`.
   */
  async read(): Promise<HostReading> {
    const linux = this.#source.platform === 'linux'
    if (linux && this.#source.now() >= this.#limitsUntil) await this.#findLimits()
    const disks = this.#space.read()
    const cpu = linux ? await this.#linuxCpu() : this.#since('os', this.#source.cpuTimes(), 1)
    const memory = linux ? await this.#linuxMemory() : this.#otherMemory()
    return { cpu, memory, disks: await disks }
  }

  async #findLimits(): Promise<void> {
    this.#limitsUntil = this.#source.now() + LIMITS_MS
    this.#limits = await findLimits(this.#source.readText)
    const known = new Set(['/proc/stat', ...this.#limits.cpu.map(({ usageFile }) => usageFile)])
    for (const file of this.#cpu.keys()) if (!known.has(file)) this.#cpu.delete(file)
  }

  async #linuxCpu(): Promise<number | undefined> {
    const stat = parseProcStat((await this.#source.readText('/proc/stat')) ?? '')
    const parts = [stat === undefined ? undefined : this.#since('/proc/stat', stat, 1)]
    for (const quota of this.#limits.cpu) {
      const seconds = await cpuSeconds(quota, this.#source.readText)
      if (seconds === undefined) continue
      const times = { busy: seconds * 1_000, total: this.#source.now() * quota.cores }
      parts.push(this.#since(quota.usageFile, times, SHORTEST_MS * quota.cores))
    }
    const known = parts.filter((part) => part !== undefined)
    return known.length === 0 ? undefined : Math.max(...known)
  }

  /** The busy part since the last reading of the same source; the last result again when hardly any time has passed. */
  #since(source: string, { busy, total }: CpuTimes, least: number): number | undefined {
    const last = this.#cpu.get(source)
    if (last !== undefined && total - last.total >= 0 && total - last.total < least) return last.part
    const part =
      last === undefined || total < last.total || busy < last.busy
        ? undefined
        : Math.min(1, (busy - last.busy) / (total - last.total))
    this.#cpu.set(source, { busy, total, part })
    return part
  }

  async #linuxMemory(): Promise<MemoryLeft | undefined> {
    const host = parseMeminfo((await this.#source.readText('/proc/meminfo')) ?? '')
    const all = [host]
    for (const limit of this.#limits.memory) all.push(await memoryLeftIn(limit, this.#source.readText))
    const known = all.filter((one) => one !== undefined)
    return known.length === 0 ? undefined : known.reduce((least, one) => (one.left < least.left ? one : least))
  }

  #otherMemory(): MemoryLeft | undefined {
    // macOS keeps little memory free on purpose, and Node doesn't report how much could be freed. Without a figure the gate stays open.
    if (this.#source.platform === 'darwin') return undefined
    const { free, total } = this.#source.memory()
    return total > 0 ? { left: free / total, bytes: free } : undefined
  }
}

/** The machine that this process runs on. */
export function thisHost(): HostSource {
  return {
    platform: process.platform,
    readText: smallFileReader(),
    diskSpace: async (folder) => {
      const { bavail, blocks, bsize } = await statfs(folder)
      return { free: bavail * bsize, total: blocks * bsize }
    },
    cpuTimes: () => {
      const times = { busy: 0, total: 0 }
      for (const { times: one } of cpus()) {
        const busy = one.user + one.nice + one.sys + one.irq
        times.busy += busy
        times.total += busy + one.idle
      }
      return times
    },
    memory: () => ({ free: freemem(), total: totalmem() }),
    now: () => performance.now(),
  }
}

/** `readFile` allocates 64 KiB for a file of size 0, as all of these are. One small buffer is enough for all. */
function smallFileReader(): ReadText {
  const buffer = Buffer.allocUnsafeSlow(8_192)
  let last: Promise<unknown> = Promise.resolve()
  const readNow = async (path: string): Promise<string | undefined> => {
    const file = await open(path).catch(() => undefined)
    try {
      const read = await file?.read(buffer, 0, buffer.length, 0)
      return read === undefined ? undefined : buffer.toString('latin1', 0, read.bytesRead)
    } catch {
      return undefined
    } finally {
      await file?.close()
    }
  }
  // One after the other, since they share the buffer.
  return (path) => {
    const text = last.then(() => readNow(path))
    last = text
    return text
  }
}
