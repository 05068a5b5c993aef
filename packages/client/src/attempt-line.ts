import type { DroppedMessages, FleetError, LogLine, Progress, TaskEnd } from '@taskfleet/protocol'

/** What is sent about a task, besides its progress and its end. */
export interface Wants {
  logs: boolean
  events: boolean
}

/** Gets the reports of one running attempt. */
export interface AttemptListener {
  /** From now on reports come, directly from the host or through the gateway. */
  live(via: 'direct' | 'relay'): void
  progress(progress: Progress, attempt: number): void
  log(line: LogLine, attempt: number): void
  event(event: { name: string; data?: unknown }): void
  dropped(dropped: DroppedMessages): void
  /** @param partial whether the output was left out. The line is over. */
  end(end: TaskEnd, partial: boolean): void
  /** No reports come for now. The line is tried again by itself. */
  unreachable(error: FleetError): void
  /** No reports come by this line, for a reason that concerns this task only. The line is over. */
  refused(error: FleetError): void
}

/** The way to one running attempt. */
export interface AttemptLine {
  readonly connected: boolean
  /** @throws {FleetError} `NOT_CONNECTED`, `NO_ANSWER`, and the handler's errors */
  message(name: string, data?: unknown): Promise<unknown>
  close(): void
}

/** The running attempt that a line is for. */
export interface RunningAttempt {
  id: string
  attempt: number
  worker: string | undefined
  publicUrl: string | undefined
}
