import type {
  AuditEntry,
  CommandAnswer,
  CommandRequest,
  CoverageRow,
  EditRequest,
  EnqueueRequest,
  ErrorRow,
  ErrorState,
  Explanation,
  QueueRow,
  ReplayRequest,
  ReprioritiseRequest,
  StoredLogLine,
  StoredTask,
  TaskRow,
} from './protocol.ts'

/** What can be asked of a fleet: by a client over its socket, or straight on the database. */
export interface FleetControl {
  /** Repeating it with the same `_id` is harmless. */
  enqueue(request: EnqueueRequest): Promise<StoredTask>
  cancel(request: CommandRequest): Promise<CommandAnswer>
  /** A running task keeps its checkpoint, gives its slot up and waits until it is resumed. */
  pause(request: CommandRequest): Promise<CommandAnswer>
  resume(request: CommandRequest): Promise<CommandAnswer>
  /** Failed and cancelled tasks wait again, with all their tries and their first priority. */
  retry(request: CommandRequest): Promise<CommandAnswer>
  /** New tasks from ended ones. */
  replay(request: ReplayRequest): Promise<CommandAnswer>
  reprioritise(request: ReprioritiseRequest): Promise<CommandAnswer>
  /** Changes a task that waits. */
  edit(request: EditRequest): Promise<TaskRow>
  /** Why a task doesn't run. */
  explain(id: string): Promise<Explanation>
  /** Which `name@version` waits, and who serves it. */
  coverage(): Promise<CoverageRow[]>
  taskLog(request: {
    id: string
    attempt?: number
    before?: { attempt: number; seq: number }
    limit?: number
  }): Promise<StoredLogLine[]>
  audit(request?: { id?: string; limit?: number }): Promise<AuditEntry[]>
  markError(request: { fingerprint: string; state: ErrorState; until?: string }): Promise<ErrorRow>
  /** A drained worker takes nothing new and goes on with what it runs. */
  controlWorker(request: { worker: string; action: 'drain' | 'resume' }): Promise<void>
  /** Nothing of a paused queue is claimed. */
  controlQueue(request: { queue: string; action: 'pause' | 'resume'; reason?: string }): Promise<QueueRow>
}
