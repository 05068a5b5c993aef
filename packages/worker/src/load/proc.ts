import type { MemoryLeft } from './load-gate.ts'

/** Busy and total time of the processors since some moment, in the same unit. */
export interface CpuTimes {
  busy: number
  total: number
}

/**
 * The first line of `/proc/stat` (proc_stat(5)). Waiting for a disk is idle time; time stolen by a hypervisor is
 * busy, since this machine could not use it. Guest time is in `user` and `nice` already.
 * @returns ticks, `undefined` when the text is something else
 */
export function parseProcStat(text: string): CpuTimes | undefined {
  const [, numbers] = /^cpu +([\d ]+)/.exec(text) ?? []
  const [user, nice, system, idle, iowait = 0, irq = 0, softirq = 0, steal = 0] = (numbers ?? '')
    .trim()
    .split(/ +/)
    .map(Number)
  if (user === undefined || nice === undefined || system === undefined || idle === undefined) return undefined
  const busy = user + nice + system + irq + softirq + steal
  return { busy, total: busy + idle + iowait }
}

/**
 * `/proc/meminfo` (proc_meminfo(5)): `MemAvailable` is the kernel's own estimate of what can be had without swapping;
 * kernels before 3.14 have none, so free, buffered and cached memory are added up.
 */
export function parseMeminfo(text: string): MemoryLeft | undefined {
  const of = (name: string): number | undefined => {
    const [, kilobytes] = new RegExp(`^${name}: +(\\d+) kB`, 'm').exec(text) ?? []
    return kilobytes === undefined ? undefined : Number(kilobytes) * 1_024
  }
  const total = of('MemTotal')
  const free = of('MemFree')
  const bytes =
    of('MemAvailable') ?? (free === undefined ? undefined : free + (of('Buffers') ?? 0) + (of('Cached') ?? 0))
  if (total === undefined || total === 0 || bytes === undefined) return undefined
  return { left: Math.min(1, bytes / total), bytes }
}
