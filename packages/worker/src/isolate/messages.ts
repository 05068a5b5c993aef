import type { LogLevel } from '@taskfleet/protocol'
import type { Logger } from 'pino'
import type { ProgressUpdate } from '../handler.ts'

/** A value for the channel. Values whose class the structured clone would drop travel beside it as BSON. */
export interface Packed {
  value: unknown
  bson: { path: (string | number)[]; bytes: Uint8Array }[]
}

/** A thrown value for the channel. */
export type Described =
  | { thrown: unknown }
  | {
      /** The nearest of the library's own classes, or '' for all others. */
      kind: string
      name: string
      message: string
      stack?: string
      code?: string | number
      field?: string
      delayMs?: number
      cause?: Described
    }

export type Answered = { value: Packed } | { error: Described }

/** What an isolate needs to begin. */
export interface Begin {
  module: string
  /** Whether the loader of TypeScript is needed. */
  typescript: boolean
  input: Packed
  checkpoint: Packed
  task: {
    id: string
    name: string
    attempt: number
    queue: string
    key: string | undefined
    deadline: Date | undefined
    worker: string
    leaseId: string
  }
  trustedUntil: number
}

/** From the worker to the isolate. */
export type Order =
  | { kind: 'begin'; begin: Begin }
  | { kind: 'abort'; reason: Described }
  /** Until when the lease is proved, by `monotonicMs()`. */
  | { kind: 'trust'; until: number }
  | { kind: 'answered'; call: number; answer: Answered }
  | { kind: 'ask'; ask: number; name: string; data: Packed }

/** From the isolate to the worker. */
export type Report =
  | { kind: 'progress'; update: ProgressUpdate }
  | { kind: 'log'; lines: { level: LogLevel; message: string }[] }
  | { kind: 'emit'; name: string; data: Packed }
  | { kind: 'listen' | 'unlisten'; name: string }
  | { kind: 'call'; call: number; what: 'confirm' | 'proven' | 'results' }
  | { kind: 'call'; call: number; what: 'save'; state: Packed }
  | { kind: 'answer'; ask: number; answer: Answered }
  | { kind: 'ended'; answer: Answered }
  /** An uncaught error of the running handler. */
  | { kind: 'leaked'; error: Described }
  /** An uncaught error of a handler that has ended. The isolate may run another one now. */
  | { kind: 'late'; task: string; error: Described }
  /** An uncaught error of no handler: the isolate is about to die of it. */
  | { kind: 'uncaught'; error: Described }

/** An isolate has died with an attempt in it. */
export interface Crash {
  /** How it died, as the end of a sentence: `was ended by SIGKILL`. */
  how: string
  /** The last that it wrote to stderr. */
  lastWords?: string
  uncaught?: Described
}

/** The attempt that an isolate runs. */
export interface Occupant {
  onReport(report: Report): void
  onCrash(crash: Crash): void
}

/** One isolate for the time of one attempt. */
export interface Seat {
  /** @throws {DOMException} `DataCloneError` */
  send(order: Order): void
  /** Ends the isolate at once, even if it is busy; resolves when it has ended. */
  kill(): Promise<void>
  /** The attempt has ended; the isolate may take another. */
  free(): void
}

export interface SeatRequest {
  module: string
  memoryMb: number | undefined
}

/** The options of every pool. */
export interface PoolOptions {
  log: Logger
  /** How long an isolate without a task is kept for the next one, in milliseconds. */
  idleMs: number
  /** The variables that an isolate starts with. */
  env: () => NodeJS.ProcessEnv
}

/** Isolates of one kind. */
export interface IsolatePool {
  take(request: SeatRequest, occupant: Occupant): Seat
  stop(): Promise<void>
}
