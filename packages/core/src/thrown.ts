import { inspect, types } from 'node:util'
import { AttemptAborted, FleetError, RetryAfterError, SnoozeError, UnrecoverableError } from '@taskfleet/protocol'

/** The most characters of an error's text. No useful error is longer, and logs and tasks must not be flooded. */
const LONGEST_TEXT = 64 * 1024
const LONGEST_NAME = 200
const CAUSES = 5
/** The error classes that decide how an attempt ends, the most specific first. */
const KINDS = [UnrecoverableError, RetryAfterError, SnoozeError, AttemptAborted, FleetError]

/**
 * Turns a value thrown by foreign code into an `Error` that is safe to read, log and store: `name`, `message` and `stack` are
 * texts of limited length, and no getter throws. A sound error is returned as it is.
 */
export function asError(thrown: unknown): Error {
  if (!isError(thrown)) return new Error(shown(thrown))
  return isSound(thrown, CAUSES) ? thrown : soundCopy(thrown)
}

function isError(thrown: unknown): thrown is Error {
  // Checked first, because a proxy of an error may throw at each access.
  if (types.isProxy(thrown)) return false
  return types.isNativeError(thrown) || attempt(() => thrown instanceof Error) === true
}

function isSound(error: Error, causes: number): boolean {
  return (
    attempt(() => {
      // A logger adds a mark to the errors that it has logged.
      if (!Object.isExtensible(error)) return false
      const { name, message, stack } = error
      if (typeof name !== 'string' || name === '' || name.length > LONGEST_NAME) return false
      if (typeof message !== 'string' || message.length > LONGEST_TEXT) return false
      if (stack !== undefined && (typeof stack !== 'string' || stack.length > LONGEST_TEXT)) return false
      const own = Object.entries(Object.getOwnPropertyDescriptors(error))
      // A logger reads all enumerable properties and their contents.
      if (own.some(([key, { enumerable, get }]) => key !== 'stack' && get !== undefined && (enumerable || isRead(key))))
        return false
      const { cause, errors, code } = error as { cause?: unknown; errors?: unknown; code?: unknown }
      if (typeof code === 'string' && code.length > LONGEST_TEXT) return false
      return [cause, ...(Array.isArray(errors) ? errors : [])].every((inner) => isSoundCause(inner, causes))
    }) === true
  )
}

const isRead = (key: string): boolean => key === 'cause' || key === 'code' || key === 'errors'

/** Whether a cause is sound. The logger itself cuts deep chains and circles. */
function isSoundCause(cause: unknown, causes: number): boolean {
  if (typeof cause !== 'object' || cause === null) return typeof cause !== 'function'
  return isError(cause) && (causes === 0 || isSound(cause, causes - 1))
}

function soundCopy(error: Error): Error {
  const message = textOf(read(error, 'message'))
  const name = read(error, 'name')
  const stack = read(error, 'stack')
  const copy = new Error(message)
  const kind = KINDS.find((one) => attempt(() => error instanceof one) === true)
  if (kind !== undefined) Object.setPrototypeOf(copy, kind.prototype)
  const texts = {
    name: typeof name === 'string' && name !== '' ? name.slice(0, LONGEST_NAME) : 'Error',
    stack: typeof stack === 'string' ? stack.slice(0, LONGEST_TEXT) : undefined,
  }
  for (const [key, value] of Object.entries(texts)) define(copy, key, value, false)
  const { code, field, delayMs } = {
    code: read(error, 'code'),
    field: read(error, 'field'),
    delayMs: read(error, 'delayMs'),
  }
  if (typeof code === 'string' || typeof code === 'number') define(copy, 'code', cut(code), true)
  if (typeof field === 'string') define(copy, 'field', cut(field), true)
  if (typeof delayMs === 'number') define(copy, 'delayMs', delayMs, true)
  return copy
}

const cut = <T>(value: T): T | string => (typeof value === 'string' ? value.slice(0, LONGEST_TEXT) : value)

function define(target: object, key: string, value: unknown, enumerable: boolean): void {
  Object.defineProperty(target, key, { value, enumerable, writable: true, configurable: true })
}

/** Turns a value that a handler logs into a text. */
export function asText(value: unknown): string {
  return typeof value === 'string' ? value : (attempt(() => String(value)) ?? shown(value))
}

/** A message as a text, even if it is not one. */
function textOf(message: unknown): string {
  if (typeof message === 'string') return message.slice(0, LONGEST_TEXT)
  return message === undefined ? '' : shown(message)
}

/** Any value as a text of limited length. Reading the value may throw. */
function shown(value: unknown): string {
  const text = typeof value === 'string' ? value : (looked(value, true) ?? looked(value, false))
  return typeof text === 'string' ? text.slice(0, LONGEST_TEXT) : `a thrown ${typeof value} that can't be shown`
}

const looked = (value: unknown, customInspect: boolean): string | undefined =>
  attempt(() => inspect(value, { depth: 2, customInspect }))

function read(object: object, key: string): unknown {
  return attempt(() => (object as Record<string, unknown>)[key])
}

/** The result of foreign code; undefined if it throws. */
function attempt<T>(act: () => T): T | undefined {
  try {
    return act()
  } catch {
    return undefined
  }
}
