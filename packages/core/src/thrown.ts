import { inspect, types } from 'node:util'
import { AttemptAborted, FleetError, RetryAfterError, SnoozeError, UnrecoverableError } from '@taskfleet/protocol'

/** No error that says something has more, and whoever logs or stores one must not be flooded. */
const LONGEST_TEXT = 64 * 1024
const LONGEST_NAME = 200
const CAUSES = 5
/** The classes that decide how an attempt ends, the nearest first. */
const KINDS = [UnrecoverableError, RetryAfterError, SnoozeError, AttemptAborted, FleetError]

/**
 * A value thrown by foreign code, as an `Error` that anybody can read, log and store: `name`, `message` and `stack` are
 * texts of a sane length, and nothing in it throws. A sound error is returned as it is.
 */
export function asError(thrown: unknown): Error {
  if (!isError(thrown)) return new Error(shown(thrown))
  return isSound(thrown, CAUSES) ? thrown : soundCopy(thrown)
}

function isError(thrown: unknown): thrown is Error {
  // Asked first, since a proxy of an error may throw at each look.
  if (types.isProxy(thrown)) return false
  return types.isNativeError(thrown) || attempt(() => thrown instanceof Error) === true
}

function isSound(error: Error, causes: number): boolean {
  return (
    attempt(() => {
      // A logger marks what it has seen.
      if (!Object.isExtensible(error)) return false
      const { name, message, stack } = error
      if (typeof name !== 'string' || name === '' || name.length > LONGEST_NAME) return false
      if (typeof message !== 'string' || message.length > LONGEST_TEXT) return false
      if (stack !== undefined && (typeof stack !== 'string' || stack.length > LONGEST_TEXT)) return false
      const own = Object.entries(Object.getOwnPropertyDescriptors(error))
      // A logger reads whatever can be listed, and what hangs below.
      if (own.some(([key, { enumerable, get }]) => key !== 'stack' && get !== undefined && (enumerable || isRead(key))))
        return false
      const { cause, errors } = error as { cause?: unknown; errors?: unknown }
      return [cause, ...(Array.isArray(errors) ? errors : [])].every((inner) => isSoundCause(inner, causes))
    }) === true
  )
}

const isRead = (key: string): boolean => key === 'cause' || key === 'code' || key === 'errors'

/** Deep chains and circles are the logger's to cut. */
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
  if (typeof code === 'string' || typeof code === 'number') define(copy, 'code', code, true)
  if (typeof field === 'string') define(copy, 'field', field, true)
  if (typeof delayMs === 'number') define(copy, 'delayMs', delayMs, true)
  return copy
}

function define(target: object, key: string, value: unknown, enumerable: boolean): void {
  Object.defineProperty(target, key, { value, enumerable, writable: true, configurable: true })
}

/** What a handler writes to its log, as a text. */
export function asText(value: unknown): string {
  return typeof value === 'string' ? value : (attempt(() => String(value)) ?? shown(value))
}

/** A message that is no text, as one. */
function textOf(message: unknown): string {
  if (typeof message === 'string') return message.slice(0, LONGEST_TEXT)
  return message === undefined ? '' : shown(message)
}

/** Any value as a text, at most so long; a value may refuse to be looked at. */
function shown(value: unknown): string {
  const text = typeof value === 'string' ? value : (looked(value, true) ?? looked(value, false))
  return typeof text === 'string' ? text.slice(0, LONGEST_TEXT) : `a thrown ${typeof value} that can't be shown`
}

const looked = (value: unknown, customInspect: boolean): string | undefined =>
  attempt(() => inspect(value, { depth: 2, customInspect }))

function read(object: object, key: string): unknown {
  return attempt(() => (object as Record<string, unknown>)[key])
}

/** What foreign code answers; undefined where it throws. */
function attempt<T>(act: () => T): T | undefined {
  try {
    return act()
  } catch {
    return undefined
  }
}
