import type { LogLine, Progress, TaskDocument, TaskEnd, TaskRow } from '@taskfleet/core'
import type { TaskFile } from './files/task-file.ts'

/** The running attempts of this process. Implemented by the worker of the gateway's process. */
export interface Attempts {
  readonly id: string
  attempt(id: string): RunningAttempt | undefined
  /** Where the file of a completed task is on this host; undefined if its handler has none. */
  file?(task: TaskDocument): TaskFile | undefined
}

/** The part of a running attempt that its socket needs. */
export interface RunningAttempt {
  readonly claim: { readonly task: TaskDocument }
  snapshot(): { task: TaskRow; progress: Progress | null; log: LogLine[] }
  /** Returns its undo. */
  watch(watcher: AttemptWatcher): () => void
  /** Passes a client's message to the handler; resolves with its answer. */
  message(name: string, data: unknown): Promise<unknown>
}

/** Gets the reports of one attempt. */
export interface AttemptWatcher {
  progress(progress: Progress): void
  log(line: LogLine): void
  event(event: { name: string; data: unknown }): void
  end(end: TaskEnd): void
}
