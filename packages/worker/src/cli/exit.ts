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
  BAD_ID: EXIT.usage,
  BAD_DATE: EXIT.usage,
  BAD_FILTER: EXIT.usage,
  BAD_JSON: EXIT.usage,
  BAD_ADDRESS: EXIT.usage,
  BAD_DURATION: EXIT.usage,
  OUT_OF_RANGE: EXIT.usage,
  UNKNOWN_FIELD: EXIT.usage,
  INPUT_TOO_LARGE: EXIT.usage,
  BAD_PUBLIC_URL: EXIT.config,
  CONFIG_RANGE: EXIT.config,
  BAD_TASKS_FILE: EXIT.config,
  NEEDS_MAJORITY: EXIT.config,
  NEEDS_REPLICA_SET: EXIT.config,
  NO_ADDRESS: EXIT.config,
  INSECURE_BIND: EXIT.config,
  UNAUTHENTICATED: EXIT.refused,
  FORBIDDEN: EXIT.refused,
  NO_DATABASE: EXIT.unreachable,
  DATABASE_UNREACHABLE: EXIT.unreachable,
  NOT_FOUND: EXIT.notFound,
  TASK_EXISTS: EXIT.conflict,
  KEY_EXISTS: EXIT.conflict,
}

/** The exit code that an error ends the command with. */
export function exitCodeOf(error: unknown): number {
  return (error instanceof FleetError ? BY_CODE[error.code] : undefined) ?? EXIT.failed
}
