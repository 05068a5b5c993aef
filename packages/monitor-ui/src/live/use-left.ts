import type { TaskRow } from '@taskfleet/protocol'
import { type ProgressTracks, useTracks } from '@taskfleet/react/internal'
import { leftOf } from '../view/host-lines.ts'

/** A task that has reported nothing for this long may have stalled, so its progress says nothing about its end. */
const STALLED_MS = 60_000

/** Estimates how long a running task still takes, in milliseconds. */
export function useLeft(usual: ReadonlyMap<string, number>, now: number): (task: TaskRow) => number | undefined {
  const tracks = useTracks()
  return (task) => leftOf(task, leftByProgress(tracks, task, now), usual, now)
}

/** Stored progress comes every few seconds, so the rate of the last report counts until the next one. */
function leftByProgress(tracks: ProgressTracks, task: TaskRow, now: number): number | undefined {
  const track = tracks.of(task, now)
  const quietMs = now - track.receivedAt
  const seconds = quietMs > STALLED_MS ? undefined : track.secondsLeft(track.receivedAt)
  return seconds === undefined ? undefined : Math.max(0, seconds * 1_000 - quietMs)
}
