import { FleetError } from '@taskfleet/core'

/** How the command ends, for scripts. */
export const EXIT = {
  done: 0,
  failed: 1,
  usage: 2,
  config: 3,
  refused: 4,
  unreachable: 5,
  notFound: 6,
  conflict: 7,
  interrupted: 130,
} as const

const BY_CODE: Record<string, number> = {
  BAD_INPUT: EXIT.usage,
  BAD_NAME: EXIT.usage,
  BAD_QUEUE: EXIT.usage,
  BAD_VALUE: EXIT.usage,
  BAD_SORT: EXIT.usage,
  BAD_FIELDS: EXIT.usage,
  BAD_REQUEST: EXIT.usage,
  BAD_STRING: EXIT.usage,
  FILTER_TOO_BIG: EXIT.usage,
  READ_ONLY_FIELD: EXIT.usage,
  BAD_ID: EXIT.usage,
  BAD_DATE: EXIT.usage,
  BAD_CRON: EXIT.usage,
  BAD_EVERY: EXIT.usage,
  BAD_TIME_ZONE: EXIT.usage,
  BAD_SCOPE: EXIT.usage,
  BAD_FILTER: EXIT.usage,
  BAD_CURSOR: EXIT.usage,
  BAD_JSON: EXIT.usage,
  BAD_ADDRESS: EXIT.usage,
  BAD_DURATION: EXIT.usage,
  OUT_OF_RANGE: EXIT.usage,
  UNKNOWN_FIELD: EXIT.usage,
  INPUT_TOO_LARGE: EXIT.usage,
  TOO_MANY: EXIT.usage,
  AMBIGUOUS: EXIT.usage,
  NEEDS_DATABASE: EXIT.usage,
  BAD_CONFIG: EXIT.config,
  BAD_KEY_FILE: EXIT.config,
  BAD_PUBLIC_URL: EXIT.config,
  CONFIG_RANGE: EXIT.config,
  BAD_TASKS_FILE: EXIT.config,
  NEEDS_MAJORITY: EXIT.config,
  NEEDS_REPLICA_SET: EXIT.config,
  NO_ADDRESS: EXIT.config,
  INSECURE_BIND: EXIT.config,
  EADDRINUSE: EXIT.config,
  EADDRNOTAVAIL: EXIT.config,
  EACCES: EXIT.config,
  INDEX_CONFLICT: EXIT.config,
  CLOCK_PROBE_FAILED: EXIT.config,
  BAD_DEFINITION: EXIT.config,
  BAD_SIZE: EXIT.config,
  UNAUTHENTICATED: EXIT.refused,
  REFUSED: EXIT.refused,
  BAD_HOST: EXIT.refused,
  BAD_ORIGIN: EXIT.refused,
  FORBIDDEN: EXIT.refused,
  QUEUE_NOT_ALLOWED: EXIT.refused,
  NAME_NOT_ALLOWED: EXIT.refused,
  RATE_LIMITED: EXIT.refused,
  NO_DATABASE: EXIT.unreachable,
  DATABASE_UNREACHABLE: EXIT.unreachable,
  NO_SERVER: EXIT.unreachable,
  NO_ANSWER: EXIT.unreachable,
  NOT_FOUND: EXIT.notFound,
  TASK_EXISTS: EXIT.conflict,
  KEY_EXISTS: EXIT.conflict,
  EVENT_EXISTS: EXIT.conflict,
  CALLBACK_EXISTS: EXIT.conflict,
  SCHEDULE_EXISTS: EXIT.conflict,
  QUEUE_FULL: EXIT.conflict,
  NOT_ENDED: EXIT.conflict,
  NOT_WAITING: EXIT.conflict,
  REV_CONFLICT: EXIT.conflict,
  ALREADY_REVOKED: EXIT.conflict,
  KEYS_NOT_UNIQUE: EXIT.conflict,
}

/** The exit code that an error ends the command with. */
export function exitCodeOf(error: unknown): number {
  if (error instanceof FleetError) return BY_CODE[error.code] ?? EXIT.failed
  const name = error instanceof Error ? error.name : ''
  if (/^Mongo(Network|ServerSelection|Topology|PoolCleared|NotConnected)/.test(name)) return EXIT.unreachable
  // An address that the driver can't read.
  if (/^Mongo(Parse|InvalidArgument|MissingCredentials|API)/.test(name)) return EXIT.config
  return EXIT.failed
}
