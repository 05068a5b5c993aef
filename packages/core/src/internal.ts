export { FeedTokens } from './auth/feed-tokens.ts'
export { newSecret, parseSecrets, SigningKeys, secretId, type TokenKind, WEAK_SECRET } from './auth/fleet-secret.ts'
export { requireScope, sameRights, secretHash } from './auth/key-store.ts'
export { boundsOf, requireReach, requireUnlimited, visibleTo } from './auth/reach.ts'
export { SIGNING_ALGORITHMS, SIGNING_MODES, signingFromEnv } from './auth/signing.ts'
export { BulkRuns, type BulkRunsOptions } from './bulk/bulk-runs.ts'
export { AttentionCommands } from './commands/attention-commands.ts'
export { cursorValues, writeCursor } from './commands/cursor.ts'
export { type ListRequest, readTasks } from './commands/list-tasks.ts'
export { requirePredecessors } from './commands/predecessor-reach.ts'
export { limitsText } from './commands/queue-limits.ts'
export type { QueueDocument } from './commands/queue-register.ts'
export { type Checked, type Created, checkTasks, storeTasks, withIds } from './commands/store-tasks.ts'
export { dataClientOptions, renewalClientOptions } from './database/client-options.ts'
export { FleetDatabase } from './database/fleet-database.ts'
export { type IndexEntry, indexEntries } from './database/index-entries.ts'
export type { IndexFindings } from './database/index-watch.ts'
export { INDEXES, indexLabel, missingIndexes } from './database/indexes.ts'
export { withoutOutages } from './database/outage-log.ts'
export { type Migrated, SCHEMA_VERSION, schemaVersion } from './database/schema.ts'
export { ServerClock } from './database/server-clock.ts'
export { arbiterWarning, type Hello } from './database/server-support.ts'
export { confirmed, databaseError } from './database/unknown-outcome.ts'
export { judgeWriteFailure } from './database/write-failure.ts'
export type { Doc } from './documents/shape.ts'
export { isShaped, type ShapedCollection } from './documents/shapes.ts'
export { PUBLISH_EVERY_MS } from './handlers/published-handlers.ts'
export type { AuditPlace } from './history/audit-log.ts'
export { ErrorReport, type Failure } from './history/error-report.ts'
export { type End, endOfAttempt } from './history/roll-ups.ts'
export { type Waiting, WaitingSamples } from './history/waiting-samples.ts'
export { sizeOf } from './live/bounded-read.ts'
export { ChangeFeed } from './live/change-feed.ts'
export type { Feed, FeedListener } from './live/feed.ts'
export type { Change, FeedScope } from './live/feed-events.ts'
export { feedOf } from './live/feed-of.ts'
export {
  concerns,
  decodeChanges,
  encodeChange,
  FEED_BEAT_MS,
  FEED_NAMESPACE,
  type FeedBeat,
  type FeederToWorker,
  type FeedInterest,
  type WorkerToFeeder,
} from './live/feed-wire.ts'
export { requireCountable, requireIndexed } from './live/indexed.ts'
export type { AttentionSource } from './live/live-attention.ts'
export { type AttentionWatch, LiveQueries, type StatsWatch, type Watch } from './live/live-queries.ts'
export { LiveQuery, type LiveQueryListener, type SequencedDelta } from './live/live-query.ts'
export { notifyEach } from './live/notify-each.ts'
export { type CompiledQuery, compileFilter, compileQuery, QUERY_LIMITS } from './live/query.ts'
export { toFullRow, toRow, toWire } from './live/wire.ts'
export type { DueSchedule } from './schedules/schedule-document.ts'
export { Schedules } from './schedules/schedules.ts'
export { missedSlots, nextSlots } from './schedules/slots.ts'
export { Service } from './service.ts'
export { type BackoffPolicy, backoffDelay, DEFAULT_BACKOFF } from './task/backoff.ts'
export { backoffPolicy, LIMIT_RANGE, parseRetry } from './task/budget.ts'
export { checkInput, checkOutput } from './task/check-input.ts'
export { afterOf, ifFailedOf, predecessorsOf } from './task/dependencies.ts'
export { toTaskError } from './task/fingerprint.ts'
export { TRANSACTION_LIMIT, unfitForLargeBatch } from './task/large-batches.ts'
export { ENDED_STATUSES, isFenced, OPEN_STATUSES, TRANSITIONS, type Verb } from './task/lifecycle.ts'
export { MongoTaskStore } from './task/mongo-task-store.ts'
export { type Changes, type NewTask, parseChanges, parseNewTask } from './task/new-task.ts'
export { countOpen } from './task/open-counts.ts'
export { parseDate, parseId, parsePriority, parseQueue } from './task/parse-value.ts'
export { DEFAULT_MAX_WAITING } from './task/queue-depth.ts'
export type { EndedStatus } from './task/retention.ts'
export { replaceSecrets } from './task/secret-references.ts'
export { type StartGrant, StartRates } from './task/start-rates.ts'
export type { ObjectId, StoredProgress, TaskError } from './task/task-document.ts'
export {
  type Affinity,
  type Claim,
  type Claimant,
  type Held,
  type Hint,
  type Naming,
  Outcome,
  type Report,
  type Served,
  type Settled,
  type TaskStore,
} from './task/task-store.ts'
export { LONGEST_AFFINITY_MS } from './task/update-parts.ts'
export { asSeenFrom, inClaimOrder } from './task/waiting-tasks.ts'
export { asText } from './thrown.ts'
export { UnderWay } from './under-way.ts'
export { WatchLoop, type WatchLoopOptions } from './watch-loop.ts'
export { webhookHeaders } from './webhook-headers.ts'
export { LoadMeter } from './worker/load-meter.ts'
export { isSilent, renewalUpdate, sessionGuard } from './worker/session.ts'
export { SessionWatch } from './worker/session-watch.ts'
export { UnbrokenWrites } from './worker/unbroken-writes.ts'
export type { WorkerReport } from './worker/worker-model.ts'
export { type Beat, WorkerRegister } from './worker/worker-register.ts'
