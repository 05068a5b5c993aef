import type { LogLine, Progress, TaskDocument, TaskEnd, TaskRow } from '@taskfleet/core'

/** Who knows the attempts that run in this process; the worker in whose process the gateway is. */
export interface Attempts {
  readonly id: string
  attempt(id: string): RunningAttempt | undefined
}

/** One attempt while it runs, as far as its socket needs it. */
export interface RunningAttempt {
  readonly claim: { readonly task: TaskDocument }
  snapshot(): { task: TaskRow; progress: Progress | null; log: LogLine[] }
  /** Returns its undo. */
  watch(watcher: AttemptWatcher): () => void
  /** Passes a client's message to the handler; resolves with its answer. */
  message(name: string, data: unknown): Promise<unknown>
}

/** Notified about one attempt. */
export interface AttemptWatcher {
  progress(progress: Progress): void
  log(line: LogLine): void
  event(event: { name: string; data: unknown }): void
  end(end: TaskEnd): void
}
