export {
  KeyStore,
  LOCAL,
  type Principal,
  requireReach,
  requireScope,
  requireUnlimited,
  SCOPES,
  type Scope,
  sameRights,
  visibleTo,
} from './auth/key-store.ts'
export { durationWithin, wholeNumber } from './checked-number.ts'
export type { FleetControl } from './client/api.ts'
export { EventCommands } from './control/event-commands.ts'
export { FleetCommands } from './control/fleet-commands.ts'
export { KeyCommands, type KeyEdit, type KeyRequest } from './control/key-commands.ts'
export { requirePredecessors } from './control/predecessor-reach.ts'
export { type Pruned, type PruneRequest, prune } from './control/prune.ts'
export { limitsText } from './control/queue-limits.ts'
export { type QueueDocument, QueueRegister } from './control/queue-register.ts'
export { ScheduleCommands, type ScheduleRequest, type TimingRequest } from './control/schedule-commands.ts'
export { SELECTION_LIMIT, selectTasks } from './control/selection.ts'
export { UpkeepCommands } from './control/upkeep-commands.ts'
export { dataClientOptions } from './database/client-options.ts'
export { type DatabaseOptions, FleetDatabase } from './database/fleet-database.ts'
export type { IndexSpec } from './database/index-specs.ts'
export {
  type DuplicateKey,
  type ExpectedIndex,
  type IndexFindings,
  IndexWatch,
} from './database/index-watch.ts'
export { INDEXES, indexLabel, missingIndexes } from './database/indexes.ts'
export { maskUri } from './database/mask-uri.ts'
export { withoutOutages } from './database/outage-log.ts'
export { type Migrated, SCHEMA_VERSION, schemaVersion } from './database/schema.ts'
export { ServerClock } from './database/server-clock.ts'
export { arbiterWarning, type Hello } from './database/server-support.ts'
export { confirmed, databaseError, isOutage } from './database/unknown-outcome.ts'
export { judgeWriteFailure, type WriteFailure } from './database/write-failure.ts'
export { DocumentGate } from './documents/gate.ts'
export type { Repaired } from './documents/repair.ts'
export type { SetAsideDocument } from './documents/set-aside.ts'
export { isShaped, type ShapedCollection } from './documents/shapes.ts'
export * from './errors.ts'
export type * from './events/event-document.ts'
export { Fleet } from './fleet.ts'
export { AuditLog, type AuditPlace, type Deed } from './history/audit-log.ts'
export { type ErrorDocument, ErrorReport, type Failure } from './history/error-report.ts'
export { type NewLines, TaskLogs } from './history/task-logs.ts'
export { type Change, ChangeFeed, type ChangeFeedOptions, type FeedListener } from './live/change-feed.ts'
export { LiveQueries, type StatsWatch, type Watch } from './live/live-queries.ts'
export { LiveQuery, type LiveQueryListener, type LiveQueryOptions, type SequencedDelta } from './live/live-query.ts'
export { LiveStats } from './live/live-stats.ts'
export { type CompiledQuery, compileFilter, compileQuery, QUERY_LIMITS } from './live/query.ts'
export { toFullRow, toRow, toWire } from './live/wire.ts'
export { runAfter } from './long-timer.ts'
export * from './protocol.ts'
export type * from './schedules/schedule-document.ts'
export type { Schedules } from './schedules/schedules.ts'
export { type BackoffPolicy, backoffDelay, DEFAULT_BACKOFF } from './task/backoff.ts'
export { backoffPolicy, LIMIT_RANGE, parseRetry, type StoredRetry } from './task/budget.ts'
export { checkInput, type TaskType } from './task/check-input.ts'
export { predecessorsOf } from './task/dependencies.ts'
export { Durations } from './task/durations.ts'
export { fingerprint, toTaskError } from './task/fingerprint.ts'
export { TRANSACTION_LIMIT, unfitForLargeBatch } from './task/large-batches.ts'
export * from './task/lifecycle.ts'
export { MongoTaskStore } from './task/mongo-task-store.ts'
export {
  type NewTask,
  parseChanges,
  parseDate,
  parseId,
  parseNewTask,
  parsePriority,
} from './task/new-task.ts'
export { DEFAULT_MAX_WAITING } from './task/queue-depth.ts'
export { DEFAULT_RETENTION, type EndedStatus, type Retention, RetentionPolicy } from './task/retention.ts'
export { type StartGrant, StartRates } from './task/start-rates.ts'
export type * from './task/task-document.ts'
export { taskModel } from './task/task-model.ts'
export {
  type Claim,
  type Claimant,
  type Control,
  type Hint,
  Outcome,
  type Report,
  type Served,
  type Settled,
  type TaskStore,
} from './task/task-store.ts'
export { inClaimOrder } from './task/waiting-tasks.ts'
export * from './thrown.ts'
export { eventGate } from './values/event-gate.ts'
export { checkJson, markRounded, parseJson } from './values/json.ts'
export { keepProgress, type ReportedProgress } from './values/keep-progress.ts'
export { keepValue } from './values/keep-value.ts'
export { VALUE_LIMIT } from './values/places.ts'
export { cutText } from './values/text.ts'
export { isAlive, renewalUpdate, sessionGuard, silenceMs } from './worker/session.ts'
export { UnbrokenWrites } from './worker/unbroken-writes.ts'
export { type WorkerDocument, type WorkerReport, workerModel } from './worker/worker-model.ts'
export { type Beat, WorkerRegister } from './worker/worker-register.ts'
