import type { Progress, TaskRow, WorkerRow } from '@taskfleet/protocol'
import type { TaskDetail } from '../live/fleet-store.ts'
import { useConnection, useFleet, useNow, useTaskDetail } from '../live/hooks.ts'
import { ratioOf } from '../live/progress-track.ts'
import { type RowSource, rowSource } from '../live/row-source.ts'

export interface LiveTask {
  detail: TaskDetail
  progress: Progress | undefined
  ratio: number | undefined
  /** In the progress's unit a second; `undefined` where it is unknown or not moving for sure. */
  rate: number | undefined
  secondsLeft: number | undefined
  source: RowSource
  now: number
}

/** All that moves about a task. Its own socket is open while it runs and `visible`. */
export function useLiveTask(task: TaskRow, worker: WorkerRow | undefined, visible: boolean): LiveTask {
  const store = useFleet()
  const connection = useConnection()
  const now = useNow()
  const running = task.status === 'running'
  const detail = useTaskDetail(task._id, visible && running)
  const progress = running ? (detail.progress ?? task.progress) : task.progress
  const source = rowSource({
    task,
    connection: connection.state,
    worker,
    watch: detail.source,
    progressAt: progress && Date.parse(progress.at),
    receivedAt: detail.receivedAt,
    now,
  })
  // A silent host's old rate would be a promise that nobody keeps.
  const moving = source.kind === 'live' || source.kind === 'checkpoint'
  return {
    detail,
    progress,
    // Its last report may have come before the end, which completes it all the same.
    ratio: task.status === 'completed' && ratioOf(progress) !== undefined ? 1 : ratioOf(progress),
    rate: moving ? store.rate(task._id) : undefined,
    secondsLeft: moving ? store.secondsLeft(task._id) : undefined,
    source,
    now,
  }
}
