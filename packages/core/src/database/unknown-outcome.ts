import { FleetError, UnknownOutcome } from '@taskfleet/protocol'
import type { mongo } from 'mongoose'
import { driver } from './driver.ts'

/** Errors of the driver that mean that no server or no primary responds now. */
const AWAY =
  /^(Mongo(ServerSelection|Network|NetworkTimeout|NotConnected|PoolCleared|PoolClosed|TopologyClosed)|PoolClearedOnNetwork)Error$/
/**
 * Codes of a server that is shutting down or is no longer primary:
 * https://github.com/mongodb/specifications/blob/master/source/retryable-writes/retryable-writes.md
 */
const AWAY_CODES = new Set([6, 7, 89, 91, 134, 189, 262, 9001, 10058, 10107, 11600, 11602, 13435, 13436])
/** Codes of a write that was perhaps applied, but not confirmed by enough members. */
const UNCONFIRMED_CODES = new Set([50, 64, 79, 100])
const DUPLICATE_KEY = 11_000
const NOT_AUTHORISED = 13
const MAX_TIME_EXPIRED = 50

/** Whether an error means that the database is away, for example during an election. */
export function isOutage(error: unknown): boolean {
  if (typeof error !== 'object' || error === null) return false
  const { name, code } = error as { name?: unknown; code?: unknown }
  if (error instanceof FleetError) return code === 'NO_DATABASE' || code === 'UNKNOWN_OUTCOME'
  if (typeof name === 'string' && AWAY.test(name)) return true
  // A bulk write wraps the original error.
  if (error instanceof driver.MongoBulkWriteError && error.errorResponse instanceof Error) {
    return isOutage(error.errorResponse)
  }
  return typeof code === 'number' && AWAY_CODES.has(code)
}

/** Whether a write may have been applied, though no majority has confirmed it. */
function isUnconfirmed(error: unknown): boolean {
  if (isOutage(error) || error instanceof driver.MongoWriteConcernError) return true
  if (!(error instanceof driver.MongoError)) return false
  if (error instanceof driver.MongoBulkWriteError && error.result?.getWriteConcernError() !== undefined) return true
  if (error.hasErrorLabel('UnknownTransactionCommitResult') || error.hasErrorLabel('TransientTransactionError')) {
    return true
  }
  return typeof error.code === 'number' && UNCONFIRMED_CODES.has(error.code)
}

/** Whether all failed writes of a bulk write are duplicates, and all others are confirmed. */
export function isDuplicatesOnly(error: unknown): error is mongo.MongoBulkWriteError {
  if (!(error instanceof driver.MongoBulkWriteError) || isUnconfirmed(error)) return false
  const refused = writeErrorsOf(error)
  return refused.length > 0 && refused.every(({ code }) => code === DUPLICATE_KEY)
}

/** The errors of a bulk write's single writes. */
export const writeErrorsOf = (error: mongo.MongoBulkWriteError): mongo.WriteError[] => [error.writeErrors].flat()

/** The context of a database's error. */
interface Meaning {
  /** Whether the request was a read or a write. */
  asked: 'read' | 'write'
  /** The ids with which the request can be repeated without doing anything twice. */
  ids?: readonly string[]
}

/** The fleet's error for a database's error; undefined for other errors. */
export function databaseError(error: unknown, { asked, ids = [] }: Meaning): FleetError | undefined {
  if (error instanceof FleetError) return undefined
  const { code, message } = error as { code?: unknown; message?: string }
  if (code === NOT_AUTHORISED) return forbidden(message ?? '', error)
  if (asked === 'write' && isUnconfirmed(error)) return new UnknownOutcome(ids, { cause: error })
  if (code === MAX_TIME_EXPIRED) {
    return new FleetError(
      'QUERY_TOO_SLOW',
      "The query took too long. Narrow its filter, for example to an open status, or to a range of '_id' or 'finishedAt'",
      { cause: error },
    )
  }
  if (!isOutage(error)) return undefined
  return new FleetError('NO_DATABASE', 'The database does not respond at the moment', { cause: error })
}

/** Runs a write, and reports if its outcome is unknown. @throws {FleetError} `UNKNOWN_OUTCOME`, `DATABASE_FORBIDDEN` */
export async function confirmed<T>(write: () => Promise<T>, ids: readonly string[] = []): Promise<T> {
  try {
    return await write()
  } catch (error) {
    throw databaseError(error, { asked: 'write', ids }) ?? error
  }
}

/**
 * Repeats a write of many documents after an election. The driver repeats only writes of single documents. Use it only for
 * writes that may be repeated without harm.
 */
export async function againAfterElection<T>(write: () => Promise<T>): Promise<T> {
  try {
    return await write()
  } catch (error) {
    if (!isUnconfirmed(error)) throw error
    return write()
  }
}

/** The error for a missing permission. It names the permission if the server does. */
export function forbidden(message: string, cause: unknown): FleetError {
  const [, database, command, collection] =
    /not authorized on (\S+) to execute command \{ (\w+): "?([^",}\s]*)/i.exec(message) ?? []
  const what = command === undefined ? '' : `, which \`${command}\` on \`${database}.${collection}\` needs`
  const right = `Grant the role readWrite on the fleet's database${what}; the role read is enough for reading.`
  return new FleetError('DATABASE_FORBIDDEN', `The database's user lacks a permission. ${right}`, { cause })
}
