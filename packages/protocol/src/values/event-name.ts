import { UnrecoverableError } from '../fleet-error.ts'

const LONGEST_NAME = 128

/**
 * Checks the name of an event that a handler emits to its watchers.
 * @throws {UnrecoverableError} `BAD_EVENT`
 */
export function checkEventName(name: unknown): void {
  if (typeof name === 'string' && name !== '' && name.length <= LONGEST_NAME) return
  throw new UnrecoverableError('BAD_EVENT', `'name' must be a string of 1 to ${LONGEST_NAME} characters`, {
    field: 'name',
  })
}
