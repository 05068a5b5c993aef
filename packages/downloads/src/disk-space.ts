import { stat, statfs } from 'node:fs/promises'
import { FleetError } from '@taskfleet/protocol'

/** Of a disk, the share that downloads leave free, and the most that this is, in bytes. */
const FREE_SHARE = 0.01
const MOST_FREE = 2 ** 30

interface Reservation {
  device: number
  /** Bytes still to be written. */
  left(): number
}

/** Of all downloads of this process. */
const reservations = new Set<Reservation>()

/** What `folder` has beside the bytes that are left free and those that other downloads of this process still write. */
interface Space {
  device: number
  free: number
  kept: number
}

async function spaceOf(folder: string, keepFree: number | undefined): Promise<Space> {
  const [{ bavail, blocks, bsize }, { dev }] = await Promise.all([statfs(folder), stat(folder)])
  return { device: dev, free: bavail * bsize, kept: keepFree ?? Math.min(blocks * bsize * FREE_SHARE, MOST_FREE) }
}

/**
 * Counts on room for a download until the returned function is called, so that downloads that run at the same time don't each count on the same room.
 *
 * @param left how many bytes it still writes
 * @param keepFree bytes that stay free; by default a hundredth of the disk, at most a gibibyte
 * @throws {FleetError} `INSUFFICIENT_SPACE`
 */
export async function reserveSpace(
  folder: string,
  left: () => number,
  keepFree: number | undefined,
): Promise<() => void> {
  const { device, free, kept } = await spaceOf(folder, keepFree)
  const others = [...reservations].reduce((sum, one) => sum + (one.device === device ? one.left() : 0), 0)
  const needed = left()
  if (needed > 0 && needed > free - kept - others) throw tooLittle(folder, { free, kept, others, needed })
  const reservation = { device, left: () => Math.max(0, left()) }
  reservations.add(reservation)
  return () => void reservations.delete(reservation)
}

/** For downloads whose length nobody knows. @throws {FleetError} `INSUFFICIENT_SPACE` when what stays free is touched */
export async function checkFree(folder: string, keepFree: number | undefined): Promise<void> {
  const { free, kept } = await spaceOf(folder, keepFree)
  if (free < kept) throw tooLittle(folder, { free, kept, others: 0, needed: 0 })
}

function tooLittle(folder: string, figures: Record<'free' | 'kept' | 'others' | 'needed', number>): FleetError {
  const { free, kept, others, needed } = figures
  const [have, stay, other, want] = [free, kept, others, needed].map(Math.round)
  const message = `${folder} has ${have} bytes free: ${stay} stay free, other downloads here need ${other}, and this one needs ${want}`
  return new FleetError('INSUFFICIENT_SPACE', message)
}
