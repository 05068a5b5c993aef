import type { WorkerRow } from '@taskfleet/protocol'
import type { DiskSpace } from './folder-space.ts'

type Disks = NonNullable<WorkerRow['disks']>

/** A smaller part of the last figure is no news. */
const NEWS = 0.01

/**
 * What a heartbeat says of the disks. A figure stays as it was reported until it has changed by more than 1 %, so that a disk that is written to
 * all the time doesn't change the worker's document with each heartbeat.
 *
 * @param before what was reported last
 */
export function diskReport(before: Disks | undefined, now: ReadonlyMap<string, DiskSpace>): Disks | undefined {
  if (now.size === 0) return undefined
  const known = new Map(before?.map((one) => [one.folder, one]))
  return [...now].map(([folder, space]) => {
    const last = known.get(folder)
    return last !== undefined && isNear(last.free, space.free) && last.total === space.total
      ? last
      : { folder, free: space.free, total: space.total }
  })
}

const isNear = (last: number, now: number): boolean => Math.abs(now - last) <= last * NEWS
