import { driver } from './driver.ts'

/**
 * What a failed write means for the next try: `refused` permanently, `passing` as in an outage or an election, or `unknown`.
 */
export type WriteFailure = 'refused' | 'passing' | 'unknown'

/** Errors of the document itself: the server always rejects it. */
const REFUSED = new Set([
  2, // BadValue
  9, // FailedToParse
  14, // TypeMismatch
  15, // Overflow: nested too deep
  22, // InvalidBSON
  28, // PathNotViable
  52, // DollarPrefixedFieldName
  56, // EmptyFieldName
  57, // DottedFieldName
  121, // DocumentValidationFailure
  10334, // BSONObjectTooLarge
  17280, // KeyTooLong
  17419, // the document would be larger than 16 MiB after the update
  17420, // so would an inserted one
])

/** Errors of the server's state: the retryable codes of the driver specification, and problems that an operator can fix. */
const PASSING = new Set([
  6, // HostUnreachable
  7, // HostNotFound
  11, // UserNotFound
  13, // Unauthorized
  18, // AuthenticationFailed
  24, // LockTimeout
  26, // NamespaceNotFound
  50, // MaxTimeMSExpired
  64, // WriteConcernTimeout
  79, // UnknownReplWriteConcern
  89, // NetworkTimeout
  91, // ShutdownInProgress
  100, // UnsatisfiableWriteConcern
  112, // WriteConflict
  134, // ReadConcernMajorityNotAvailableYet
  189, // PrimarySteppedDown
  202, // NetworkInterfaceExceededTimeLimit
  262, // ExceededTimeLimit
  8000, // an error of Atlas
  9001, // SocketException
  10058, // LegacyNotPrimary
  10107, // NotWritablePrimary
  11600, // InterruptedAtShutdown
  11602, // InterruptedDueToReplStateChange
  13435, // NotPrimaryNoSecondaryOk
  13436, // NotPrimaryOrSecondary
  14031, // OutOfDiskSpace
])

const RETRYABLE_LABELS = ['RetryableWriteError', 'TransientTransactionError']

/** Classifies a write's error by the server's code and labels. A document that can't be encoded is `refused`. */
export function judgeWriteFailure(error: unknown): WriteFailure {
  if (!(error instanceof driver.MongoError)) return 'refused'
  if (RETRYABLE_LABELS.some((label) => error.hasErrorLabel(label))) return 'passing'
  if (error instanceof driver.MongoInvalidArgumentError) return 'refused'
  // There was no response, or it is about the write's confirmation and not about its content.
  if (!(error instanceof driver.MongoServerError) || error instanceof driver.MongoWriteConcernError) return 'passing'
  const code = Number(error.code)
  return REFUSED.has(code) ? 'refused' : PASSING.has(code) ? 'passing' : 'unknown'
}
