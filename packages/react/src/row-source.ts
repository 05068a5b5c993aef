import type { ConnectionState, WatchSource } from '@taskfleet/client'
import type { TaskRow, WorkerRow, WorkerState } from '@taskfleet/protocol'

/** The source of the figures in a row. */
export type RowSource =
  /** Its host reports, directly or through the gateway. */
  | { kind: 'live'; via: 'direct' | 'relay' }
  /** Its worker does not listen, so the stored progress is all there is. `ageMs` is its age, `undefined` before the first report. */
  | { kind: 'stored'; ageMs: number | undefined }
  /** The host can't be reached now, so only the document is known. `ageMs` is the age of its progress, `undefined` before the first report. */
  | { kind: 'checkpoint'; ageMs: number | undefined; reason?: string }
  /** The worker has missed three heartbeats; its lease will run out. */
  | { kind: 'silent'; ageMs: number }
  /** The gateway is unreachable: everything may be out of date. */
  | { kind: 'reconnecting' }
  /** The task is not running. */
  | { kind: 'none' }

/** The state of a worker as the page sees it. `silent` and `gone` are derived from its heartbeat, the others are reported. */
export type WorkerView = Exclude<WorkerState, 'dead'> | 'silent' | 'gone'

/** A worker is silent after this many missed heartbeats. */
const SILENT_BEATS = 3
/** A worker is gone after this long without a heartbeat. */
const GONE_MS = 30_000

/** Milliseconds since the last heartbeat of a worker. */
export function heartbeatAge(worker: Pick<WorkerRow, 'heartbeatAt'>, now: number): number {
  return Math.max(0, now - Date.parse(worker.heartbeatAt))
}

export function workerView(worker: Pick<WorkerRow, 'state' | 'heartbeatAt' | 'heartbeatMs'>, now: number): WorkerView {
  if (worker.state === 'stopped') return 'stopped'
  // Its session was ended, so its writes no longer count.
  if (worker.state === 'dead') return 'gone'
  const age = heartbeatAge(worker, now)
  if (age <= SILENT_BEATS * worker.heartbeatMs) return worker.state
  return age > Math.max(GONE_MS, 2 * SILENT_BEATS * worker.heartbeatMs) ? 'gone' : 'silent'
}

export interface SourceFacts {
  task: Pick<TaskRow, 'status'>
  connection: ConnectionState
  /** The worker that the task names, if it is known. */
  worker: WorkerRow | undefined
  watch: WatchSource | undefined
  /** When the newest progress was reported, and when it reached us, in milliseconds of the server's clock. */
  progressAt: number | undefined
  receivedAt: number | undefined
  now: number
}

/** A lost connection to the gateway comes first. A recent report outweighs a missed heartbeat. */
export function rowSource({ task, connection, worker, watch, progressAt, receivedAt, now }: SourceFacts): RowSource {
  if (task.status !== 'running') return { kind: 'none' }
  if (connection !== 'live') return { kind: 'reconnecting' }
  const socket = watch?.state === 'live' ? watch : undefined
  if (worker !== undefined) {
    const patience = SILENT_BEATS * worker.heartbeatMs
    const silent = workerView(worker, now)
    const heard = socket !== undefined && receivedAt !== undefined && now - receivedAt <= patience
    if ((silent === 'silent' || silent === 'gone' || silent === 'stopped') && !heard) {
      return { kind: 'silent', ageMs: heartbeatAge(worker, now) }
    }
  }
  if (socket !== undefined) return { kind: 'live', via: socket.via }
  const ageMs = progressAt === undefined ? undefined : Math.max(0, now - progressAt)
  if (watch?.state === 'stored') return { kind: 'stored', ageMs }
  return watch?.state === 'unreachable'
    ? { kind: 'checkpoint', ageMs, reason: watch.reason }
    : { kind: 'checkpoint', ageMs }
}
