/** The exit codes of the command. */
export const EXIT = {
  done: 0,
  failed: 1,
  usage: 2,
  config: 3,
  refused: 4,
  unreachable: 5,
  notFound: 6,
  conflict: 7,
  unknown: 8,
  interrupted: 130,
} as const

interface CodeMeaning {
  /** The HTTP status of a REST response with this code. */
  status: number
  /** The exit code of a command that fails with this code. */
  exit: number
}

const OTHER: CodeMeaning = { status: 400, exit: EXIT.failed }
const USAGE: CodeMeaning = { status: 400, exit: EXIT.usage }
const CONFIG: CodeMeaning = { status: 400, exit: EXIT.config }
const REFUSED: CodeMeaning = { status: 403, exit: EXIT.refused }
const UNREACHABLE: CodeMeaning = { status: 400, exit: EXIT.unreachable }
const CONFLICT: CodeMeaning = { status: 409, exit: EXIT.conflict }
/** A conflict without an exit code of its own, such as a task that is not in the state that the request needs. */
const STATE: CodeMeaning = { status: 409, exit: EXIT.failed }

/** All error codes, with their HTTP status for REST clients and their exit code for scripts. */
export const ERROR_CODES: Readonly<Record<string, CodeMeaning>> = {
  AMBIGUOUS: USAGE,
  BAD_ADDRESS: USAGE,
  BAD_CRON: USAGE,
  BAD_CURSOR: USAGE,
  BAD_DATE: USAGE,
  BAD_DURATION: USAGE,
  BAD_EVERY: USAGE,
  BAD_FIELDS: USAGE,
  BAD_FILTER: USAGE,
  BAD_ID: USAGE,
  BAD_INPUT: USAGE,
  BAD_JSON: USAGE,
  BAD_NAME: USAGE,
  BAD_QUEUE: USAGE,
  BAD_REQUEST: USAGE,
  BAD_SCOPE: USAGE,
  BAD_SORT: USAGE,
  BAD_STRING: USAGE,
  BAD_TIME_ZONE: USAGE,
  BAD_VALUE: USAGE,
  FILTER_TOO_BIG: USAGE,
  INPUT_TOO_LARGE: { status: 413, exit: EXIT.usage },
  NEEDS_DATABASE: USAGE,
  OUT_OF_RANGE: USAGE,
  QUERY_NOT_INDEXED: USAGE,
  READ_ONLY_FIELD: USAGE,
  TOO_MANY: USAGE,
  UNKNOWN_FIELD: USAGE,

  BAD_BASE_PATH: CONFIG,
  BAD_CONFIG: CONFIG,
  BAD_DATABASE_ADDRESS: CONFIG,
  BAD_DATABASE_NAME: CONFIG,
  BAD_DEFINITION: CONFIG,
  BAD_KEY_FILE: CONFIG,
  BAD_PUBLIC_URL: CONFIG,
  BAD_SECRET: CONFIG,
  BAD_SECRET_FILE: CONFIG,
  BAD_SIZE: CONFIG,
  BAD_TASKS_FILE: CONFIG,
  BAD_TRUST_PROXY: CONFIG,
  CLOCK_PROBE_FAILED: CONFIG,
  CONFIG_RANGE: CONFIG,
  EACCES: CONFIG,
  EADDRINUSE: CONFIG,
  EADDRNOTAVAIL: CONFIG,
  INDEX_CONFLICT: { status: 409, exit: EXIT.config },
  INSECURE_BIND: CONFIG,
  NEEDS_MAJORITY: CONFIG,
  NEEDS_MIGRATION: CONFIG,
  NEEDS_REPLICA_SET: CONFIG,
  NEWER_SCHEMA: CONFIG,
  NO_ADDRESS: CONFIG,
  SECRET_MISMATCH: CONFIG,
  UNSUPPORTED_SERVER: CONFIG,

  BAD_HOST: REFUSED,
  BAD_ORIGIN: REFUSED,
  DATABASE_FORBIDDEN: { status: 500, exit: EXIT.refused },
  FORBIDDEN: REFUSED,
  NAME_NOT_ALLOWED: REFUSED,
  QUEUE_NOT_ALLOWED: REFUSED,
  RATE_LIMITED: { status: 429, exit: EXIT.refused },
  REFUSED: { status: 400, exit: EXIT.refused },
  UNAUTHENTICATED: { status: 401, exit: EXIT.refused },

  DATABASE_UNREACHABLE: UNREACHABLE,
  NO_ANSWER: UNREACHABLE,
  NO_FEED: UNREACHABLE,
  HOST_AWAY: { status: 503, exit: EXIT.unreachable },
  NO_DATABASE: { status: 503, exit: EXIT.unreachable },
  NO_SERVER: UNREACHABLE,
  UNREACHABLE,

  ALREADY_REVOKED: CONFLICT,
  CALLBACK_EXISTS: CONFLICT,
  EVENT_EXISTS: CONFLICT,
  KEY_EXISTS: CONFLICT,
  KEYS_NOT_UNIQUE: CONFLICT,
  NOT_ENDED: CONFLICT,
  NOT_WAITING: CONFLICT,
  NO_UNDO: CONFLICT,
  QUEUE_FULL: { status: 429, exit: EXIT.conflict },
  REV_CONFLICT: CONFLICT,
  SCHEDULE_EXISTS: CONFLICT,
  TASK_EXISTS: CONFLICT,

  ALREADY_COMPLETED: STATE,
  ALREADY_ENDED: STATE,
  AWAITED: STATE,
  CORRUPT: STATE,
  IDEMPOTENCY_CONFLICT: STATE,
  NOT_COMPLETED: STATE,
  NOT_PAUSED: STATE,
  NOT_RUNNING: STATE,

  BAD_SIGNATURE: OTHER,
  DEPENDENCY_CYCLE: OTHER,
  INPUT_INVALID: OTHER,
  INTERNAL: { status: 500, exit: EXIT.failed },
  NO_FILE: { status: 404, exit: EXIT.notFound },
  NOT_FOUND: { status: 404, exit: EXIT.notFound },
  QUERY_TOO_SLOW: { status: 503, exit: EXIT.failed },
  RANGE_NOT_SATISFIABLE: { status: 416, exit: EXIT.failed },
  REPLAY_NOT_ALLOWED: OTHER,
  REQUEST_TIMEOUT: { status: 408, exit: EXIT.failed },
  TOO_BIG: { status: 413, exit: EXIT.failed },
  TOO_MANY_CONNECTIONS: { status: 429, exit: EXIT.failed },
  TOO_MANY_TASKS: { status: 413, exit: EXIT.failed },
  UNKNOWN_OUTCOME: { status: 503, exit: EXIT.unknown },
  UNSIGNED_TASK: OTHER,
  UNSUPPORTED_MEDIA_TYPE: { status: 415, exit: EXIT.failed },
}

/** The status and exit code of an error code. A code that is not in the table, such as a handler's own, is 400 and a plain failure. */
export const meaningOf = (code: string): CodeMeaning => (Object.hasOwn(ERROR_CODES, code) ? ERROR_CODES[code]! : OTHER)
