import type { ConnectionState, WatchSource } from '@taskfleet/client'
import type { TaskRow, WorkerRow, WorkerState } from '@taskfleet/protocol'

/** Where what a row shows comes from, said honestly. */
export type RowSource =
  /** Its own socket is open, straight or by the gateway's relay. */
  | { kind: 'live'; via: 'direct' | 'relay' }
  /** Only the document is known; this old is its progress. `undefined` before the first one. */
  | { kind: 'checkpoint'; ageMs: number | undefined; reason?: string }
  /** The worker has missed three heartbeats; its lease will run out. */
  | { kind: 'silent'; ageMs: number }
  /** The gateway can't be reached: everything may be out of date. */
  | { kind: 'reconnecting' }
  /** Nothing runs. */
  | { kind: 'none' }

/** How a worker seems from here: `silent` and `gone` are derived from its heartbeat, the rest it said itself. */
export type WorkerView = Exclude<WorkerState, 'dead'> | 'silent' | 'gone'

/** So many heartbeats missed, and a worker is silent. */
const SILENT_BEATS = 3
/** Silent for so long, and nobody expects it back. */
const GONE_MS = 30_000

/** Milliseconds since a worker's last sign of life. */
export function heartbeatAge(worker: Pick<WorkerRow, 'heartbeatAt'>, now: number): number {
  return Math.max(0, now - Date.parse(worker.heartbeatAt))
}

export function workerView(worker: Pick<WorkerRow, 'state' | 'heartbeatAt' | 'heartbeatMs'>, now: number): WorkerView {
  if (worker.state === 'stopped') return 'stopped'
  // Its session was ended: nothing that it does counts any more, however short its silence was.
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

/** Which of the five it is. The gateway's absence outweighs all; a fresh report outweighs a missed heartbeat. */
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
  return watch?.state === 'unreachable'
    ? { kind: 'checkpoint', ageMs, reason: watch.reason }
    : { kind: 'checkpoint', ageMs }
}
