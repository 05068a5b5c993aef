/** What an isolate needs of the packages below: loaded once its loader is there. */
export { asError } from '@taskfleet/core'
export { asText } from '@taskfleet/core/internal'
export { AttemptAborted, FleetError, RetryAfterError, SnoozeError, UnrecoverableError } from '@taskfleet/protocol'
export { eventGate, keepProgress, keepValue } from '@taskfleet/protocol/internal'
