import type { mongo } from 'mongoose'
import type { Logger } from 'pino'
import type { Signing } from '../auth/signing.ts'
import type { ServerClock } from '../database/server-clock.ts'
import type { End } from '../history/roll-ups.ts'
import type { Dependants } from './dependants.ts'
import type { Durations } from './durations.ts'
import type { Quarantine } from './quarantine.ts'
import type { RetentionPolicy } from './retention.ts'
import type { TaskDocument } from './task-document.ts'

/** What the parts of the store share. */
export interface StoreParts {
  readonly db: mongo.Db
  readonly tasks: mongo.Collection<TaskDocument>
  readonly clock: ServerClock
  readonly retention: RetentionPolicy
  readonly durations: Durations
  readonly dependants: Dependants
  readonly quarantine: Quarantine
  readonly log: Logger | undefined
  /** Signs tasks if this process has a key. */
  readonly signing: Signing
  /** Throws if keys can't be kept unique. */
  requireUniqueKeys(): Promise<void>
  /** Reports an end that no worker reports of its own attempt. */
  onEnd(end: End): void
  /** Reports that a task has changed, so that its event is updated. */
  tell(task: Pick<TaskDocument, 'event'> | null): void
}
