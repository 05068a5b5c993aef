import type { Progress, TaskRow, WorkerRow } from '@taskfleet/protocol'
import { type TaskView, useConnection, useServerTime, useTask } from '@taskfleet/react'
import { ratioOf, type Sample } from '../live/progress-track.ts'
import { useTracks } from '../live/progress-tracks.ts'
import { type RowSource, rowSource } from '../live/row-source.ts'

export interface LiveTask {
  /** The state from its host. */
  watched: TaskView
  progress: Progress | undefined
  ratio: number | undefined
  /** In the progress's unit a second; `undefined` if unknown or uncertain. */
  rate: number | undefined
  secondsLeft: number | undefined
  /** Its progress over time, for sparklines and charts. */
  points: readonly Sample[]
  source: RowSource
  now: number
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
