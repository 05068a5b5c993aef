import type { Progress, TaskRow, WorkerRow } from '@taskfleet/protocol'
import { useShared } from './fleet-provider.tsx'
import { ratioOf, type Sample } from './progress-track.ts'
import type { ProgressTracks } from './progress-tracks.ts'
import { type RowSource, rowSource } from './row-source.ts'
import { useConnection } from './use-connection.ts'
import { useServerTime } from './use-server-time.ts'
import { type TaskView, useTask } from './use-task.ts'

/** The progress of each task over time, as far as this page has seen it. */
export function useTracks(): ProgressTracks {
  return useShared().tracks
}

/** The state of a task from moment to moment, with what follows from its progress. */
export interface LiveTask {
  readonly task: TaskRow
  /** The state from its host, with `cancel` and `message`. */
  readonly watched: TaskView
  /** The newest known, from its host or as stored. */
  readonly progress: Progress | undefined
  /** The done part, 0 to 1; `undefined` if it is unknown. */
  readonly ratio: number | undefined
  /** In the progress's unit a second; `undefined` if unknown or uncertain. */
  readonly rate: number | undefined
  /** Until its end at this rate. */
  readonly secondsLeft: number | undefined
  /** Its progress over time, for sparklines and charts. */
  readonly points: readonly Sample[]
  /** Where these figures come from. */
  readonly source: RowSource
  /** The server's time in milliseconds. */
  readonly now: number
}

/**
 * The live state of a task, from its host while `watch` is true.
 *
 * @param detailed also its log, for the page of one task
 */
export function useLiveTask(
  task: TaskRow,
  worker: WorkerRow | undefined,
  { watch, detailed = false }: { watch: boolean; detailed?: boolean },
): LiveTask {
  const connection = useConnection()
  const now = useServerTime()
  const tracks = useTracks()
  const running = task.status === 'running'
  const watched = useTask(task._id, { watch, row: detailed ? undefined : task })
  // The known progress may still be that of the attempt before.
  const isOfAttempt = running && watched.task?.attempt === task.attempt
  const track = tracks.of(task, now, isOfAttempt ? watched.progress : undefined)
  const progress = running ? (track.latest ?? task.progress) : task.progress
  const source = rowSource({
    task,
    connection: connection.state,
    worker,
    watch: watch ? watched.source : undefined,
    progressAt: progress && Date.parse(progress.at),
    receivedAt: track.latest && track.receivedAt,
    now,
  })
  // A silent host's old rate says nothing about now.
  const moving = source.kind === 'live' || source.kind === 'stored' || source.kind === 'checkpoint'
  return {
    task,
    watched,
    progress,
    // Its last report may be older than the end, which still completes it.
    ratio: task.status === 'completed' && ratioOf(progress) !== undefined ? 1 : ratioOf(progress),
    rate: moving ? track.rate(now) : undefined,
    secondsLeft: moving ? track.secondsLeft(now) : undefined,
    points: track.points,
    source,
    now,
  }
}
