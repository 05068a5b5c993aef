import { FleetError, UnknownOutcome } from '@taskfleet/protocol'
import { mongo } from 'mongoose'

/** Errors of the driver that mean: no server, or no primary, answers at the moment. */
const AWAY =
  /^(Mongo(ServerSelection|Network|NetworkTimeout|NotConnected|PoolCleared|PoolClosed|TopologyClosed)|PoolClearedOnNetwork)Error$/
/**
 * Codes of a server that is going away or is no primary any more:
 * https://github.com/mongodb/specifications/blob/master/source/retryable-writes/retryable-writes.md
 */
const AWAY_CODES = new Set([6, 7, 89, 91, 134, 189, 262, 9001, 10058, 10107, 11600, 11602, 13435, 13436])
/** A write that was perhaps applied, and that too few members have confirmed. */
const UNCONFIRMED_CODES = new Set([50, 64, 79, 100])
const DUPLICATE_KEY = 11_000
const NOT_AUTHORISED = 13
const MAX_TIME_EXPIRED = 50

/** Whether an error says that the database is away, as it is during an election. */
export function isOutage(error: unknown): boolean {
  if (typeof error !== 'object' || error === null) return false
  const { name, code } = error as { name?: unknown; code?: unknown }
  if (error instanceof FleetError) return code === 'NO_DATABASE' || code === 'UNKNOWN_OUTCOME'
  if (typeof name === 'string' && AWAY.test(name)) return true
  // A bulk write wraps whatever went wrong.
  if (error instanceof mongo.MongoBulkWriteError && error.errorResponse instanceof Error) {
    return isOutage(error.errorResponse)
  }
  return typeof code === 'number' && AWAY_CODES.has(code)
}

/** Whether a write may have been applied, though no majority has confirmed it. */
function isUnconfirmed(error: unknown): boolean {
  if (isOutage(error) || error instanceof mongo.MongoWriteConcernError) return true
  if (!(error instanceof mongo.MongoError)) return false
  if (error instanceof mongo.MongoBulkWriteError && error.result?.getWriteConcernError() !== undefined) return true
  if (error.hasErrorLabel('UnknownTransactionCommitResult') || error.hasErrorLabel('TransientTransactionError')) {
    return true
  }
  return typeof error.code === 'number' && UNCONFIRMED_CODES.has(error.code)
}

/** Whether each write that a bulk write refused found its unique value taken, and all others are confirmed. */
export function isDuplicatesOnly(error: unknown): error is mongo.MongoBulkWriteError {
  if (!(error instanceof mongo.MongoBulkWriteError) || isUnconfirmed(error)) return false
  const refused = writeErrorsOf(error)
  return refused.length > 0 && refused.every(({ code }) => code === DUPLICATE_KEY)
}

/** The single writes that a bulk write refused. */
export const writeErrorsOf = (error: mongo.MongoBulkWriteError): mongo.WriteError[] => [error.writeErrors].flat()

/** What a database's error means to whoever asked. */
interface Meaning {
  /** Whether anything was to be written. */
  asked: 'read' | 'write'
  /** Under which ids the request can be repeated without doing anything twice. */
  ids?: readonly string[]
}

/** A database's error in the fleet's words; undefined for all others. */
export function databaseError(error: unknown, { asked, ids = [] }: Meaning): FleetError | undefined {
  if (error instanceof FleetError) return undefined
  const { code, message } = error as { code?: unknown; message?: string }
  if (code === NOT_AUTHORISED) return forbidden(message ?? '', error)
  if (asked === 'write' && isUnconfirmed(error)) return new UnknownOutcome(ids, { cause: error })
  if (code === MAX_TIME_EXPIRED) {
    return new FleetError('QUERY_TOO_SLOW', 'The query took too long: narrow its filter', { cause: error })
  }
  if (!isOutage(error)) return undefined
  return new FleetError('NO_DATABASE', 'The database does not answer at the moment', { cause: error })
}

/** Carries out a write, and says so where its outcome is unknown. @throws {FleetError} `UNKNOWN_OUTCOME`, `DATABASE_FORBIDDEN` */
export async function confirmed<T>(write: () => Promise<T>, ids: readonly string[] = []): Promise<T> {
  try {
    return await write()
  } catch (error) {
    throw databaseError(error, { asked: 'write', ids }) ?? error
  }
}

/**
 * Repeats a write of many documents after an election, which the driver never does: it repeats writes of single documents
 * only. For writes that are harmless to repeat.
 */
export async function againAfterElection<T>(write: () => Promise<T>): Promise<T> {
  try {
    return await write()
  } catch (error) {
    if (!isUnconfirmed(error)) throw error
    return write()
  }
}

/** Names the right that is missing, as far as the server says which. */
export function forbidden(message: string, cause: unknown): FleetError {
  const [, database, command, collection] =
    /not authorized on (\S+) to execute command \{ (\w+): "?([^",}\s]*)/i.exec(message) ?? []
  const what = command === undefined ? '' : `, which \`${command}\` on \`${database}.${collection}\` needs`
  const right = `Grant the role readWrite on the fleet's database${what}; read is enough to look.`
  return new FleetError('DATABASE_FORBIDDEN', `The database refuses its user a right. ${right}`, { cause })
}
