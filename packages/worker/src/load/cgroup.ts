import type { MemoryLeft } from './load-gate.ts'

/** Reads a small text file; `undefined` if it is missing or can't be read. */
export type ReadText = (path: string) => Promise<string | undefined>

/** A group with a limit of processors. */
export interface CpuQuota {
  /** The file with the group's used CPU time. */
  usageFile: string
  version: 1 | 2
  /** How many processors' worth of time it may use. */
  cores: number
}

/** A group with a limit of memory. */
export interface MemoryLimit {
  folder: string
  version: 1 | 2
  bytes: number
}

export interface CgroupLimits {
  cpu: CpuQuota[]
  memory: MemoryLimit[]
}

const ROOT = '/sys/fs/cgroup'

/**
 * The limits of this process: those of its own group and of every group around it, since each counts. In a
 * container the path in `/proc/self/cgroup` is either `/` or one of the host that can't be seen from within; walking
 * up to the root of the mount finds the container's own files in both cases. Groups without a limit are left out, so
 * that a reading usually opens few files.
 *
 * After the kernel's `cgroup-v2.rst` and `cgroup-v1/memory.rst`, with the usual mount points.
 */
export async function findLimits(read: ReadText): Promise<CgroupLimits> {
  const paths = parseSelfCgroup((await read('/proc/self/cgroup')) ?? '')
  const limits: CgroupLimits = { cpu: [], memory: [] }
  for (const folder of upwards(ROOT, paths.get(''))) {
    const quota = parseCpuMax((await read(`${folder}/cpu.max`)) ?? '')
    if (quota !== undefined) limits.cpu.push({ usageFile: `${folder}/cpu.stat`, version: 2, cores: quota })
    const most = Math.min(
      ...(await Promise.all(['max', 'high'].map(async (name) => parseLimit(await read(`${folder}/memory.${name}`))))),
    )
    if (most < UNLIMITED) limits.memory.push({ folder, version: 2, bytes: most })
  }
  // Usage is kept by another controller than the quota, usually mounted together with it.
  for (const folder of upwards('', paths.get('cpu'))) {
    const quota = Number((await read(`${ROOT}/cpu${folder}/cpu.cfs_quota_us`)) ?? -1)
    const period = Number((await read(`${ROOT}/cpu${folder}/cpu.cfs_period_us`)) ?? 0)
    if (!(quota > 0 && period > 0)) continue
    limits.cpu.push({ usageFile: `${ROOT}/cpuacct${folder}/cpuacct.usage`, version: 1, cores: quota / period })
  }
  for (const folder of upwards(`${ROOT}/memory`, paths.get('memory'))) {
    const most = parseLimit(await read(`${folder}/memory.limit_in_bytes`))
    if (most < UNLIMITED) limits.memory.push({ folder, version: 1, bytes: most })
  }
  return limits
}

/** The CPU time that a group has used, in seconds; `undefined` when it can't be read. */
export async function cpuSeconds({ usageFile, version }: CpuQuota, read: ReadText): Promise<number | undefined> {
  const text = (await read(usageFile)) ?? ''
  if (version === 2) {
    const microseconds = keyed(text, 'usage_usec')
    return microseconds === undefined ? undefined : microseconds / 1e6
  }
  return /^\d+\n?$/.test(text) ? Number(text) / 1e9 : undefined
}

/**
 * A group's free memory below its limit. File pages without recent use are freed on demand and count as
 * free: the "working set" of Kubernetes and of `docker stats`.
 */
export async function memoryLeftIn(
  { folder, version, bytes }: MemoryLimit,
  read: ReadText,
): Promise<MemoryLeft | undefined> {
  const usage = await read(`${folder}/${version === 2 ? 'memory.current' : 'memory.usage_in_bytes'}`)
  if (usage === undefined || !/^\d+\n?$/.test(usage)) return undefined
  const stat = (await read(`${folder}/memory.stat`)) ?? ''
  const reclaimable = keyed(stat, version === 2 ? 'inactive_file' : 'total_inactive_file') ?? 0
  const used = Math.max(0, Number(usage) - reclaimable)
  const left = Math.max(0, bytes - used)
  return { left: bytes === 0 ? 0 : left / bytes, bytes: left }
}

/** Path by controller; version 2 has one for all, under the empty name. */
function parseSelfCgroup(text: string): Map<string, string> {
  const paths = new Map<string, string>()
  for (const line of text.split('\n')) {
    const [, controllers, path] = /^\d+:([^:]*):(\/.*)$/.exec(line) ?? []
    if (controllers === undefined || path === undefined) continue
    for (const controller of controllers.split(',')) paths.set(controller, path)
  }
  return paths
}

/** The folder and its parents, up to the root; none without a path. */
function upwards(root: string, path: string | undefined): string[] {
  if (path === undefined) return []
  // A path out of the process's own namespace begins with `/..`.
  const names = path.split('/').filter((name) => name !== '' && name !== '..')
  return Array.from({ length: names.length + 1 }, (_, up) => [root, ...names.slice(0, names.length - up)].join('/'))
}

/** Version 1 writes "no limit" as the largest number of whole pages. */
const UNLIMITED = 2 ** 60

function parseLimit(text: string | undefined): number {
  return text !== undefined && /^\d+\n?$/.test(text) ? Number(text) : UNLIMITED
}

function parseCpuMax(text: string): number | undefined {
  const [, quota, period] = /^(\d+) (\d+)/.exec(text) ?? []
  return quota === undefined || Number(period) === 0 ? undefined : Number(quota) / Number(period)
}

function keyed(text: string, key: string): number | undefined {
  const [, value] = new RegExp(`^${key} (\\d+)$`, 'm').exec(text) ?? []
  return value === undefined ? undefined : Number(value)
}
