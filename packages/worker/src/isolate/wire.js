// Plain JavaScript: read by the isolate's bootstrap, which starts without a loader.
import { inspect, types } from 'node:util'
import { BSON } from 'mongodb'

/** @import { Described, Packed } from './messages.ts' */

/** @typedef {typeof import('./core.js')} Core */
/** @typedef {Exclude<Described, { thrown: unknown }>} DescribedError */

/** Compared by name, since the module in the isolate may have its own copy of the library. */
const KINDS = ['UnrecoverableError', 'RetryAfterError', 'SnoozeError', 'AttemptAborted', 'FleetError']
const CAUSES = 3
const LONGEST_NAME = 200

/** The longest text that is sent. The worker cuts it further. */
const LONGEST_TEXT = 64 * 1024

/**
 * The result of foreign code; undefined where it throws.
 *
 * @template T
 * @param {() => T} act
 * @returns {T | undefined}
 */
function attempt(act) {
  try {
    return act()
  } catch {
    return undefined
  }
}

/**
 * @param {object} error
 * @returns {string}
 */
function kindOf(error) {
  for (let proto = Object.getPrototypeOf(error); proto !== null; proto = Object.getPrototypeOf(proto)) {
    if (KINDS.includes(proto.constructor?.name)) return proto.constructor.name
  }
  return ''
}

/**
 * Any value as a text. Reading the value may throw.
 *
 * @param {unknown} value
 * @returns {string}
 */
function shown(value) {
  const text = typeof value === 'string' ? value : attempt(() => inspect(value, { depth: 2 }))
  return typeof text === 'string' ? text.slice(0, LONGEST_TEXT) : `a thrown ${typeof value} that can't be shown`
}

/**
 * A thrown value as plain values that any channel carries. Never throws.
 *
 * @param {unknown} thrown
 * @param {number} [causes]
 * @returns {Described}
 */
export function describeError(thrown, causes = CAUSES) {
  if (typeof thrown === 'string') return { thrown: shown(thrown) }
  if (typeof thrown !== 'object' || thrown === null) {
    return { thrown: typeof thrown === 'function' || typeof thrown === 'symbol' ? shown(thrown) : thrown }
  }
  if (types.isProxy(thrown) || attempt(() => thrown instanceof Error) !== true) {
    return { kind: '', name: 'Error', message: shown(thrown) }
  }
  const read = (/** @type {string} */ key) => attempt(() => /** @type {Record<string, unknown>} */ (thrown)[key])
  const [name, message, stack, code] = [read('name'), read('message'), read('stack'), read('code')]
  const [field, delayMs, cause] = [read('field'), read('delayMs'), read('cause')]
  return {
    kind: attempt(() => kindOf(thrown)) ?? '',
    name: typeof name === 'string' && name !== '' ? name.slice(0, LONGEST_NAME) : 'Error',
    message: message === undefined ? '' : shown(message),
    ...(typeof stack === 'string' ? { stack: stack.slice(0, LONGEST_TEXT) } : {}),
    ...(typeof code === 'string' ? { code: code.slice(0, LONGEST_NAME) } : typeof code === 'number' ? { code } : {}),
    ...(typeof field === 'string' ? { field: field.slice(0, LONGEST_NAME) } : {}),
    ...(typeof delayMs === 'number' ? { delayMs } : {}),
    ...(cause === undefined || causes === 0 ? {} : { cause: describeError(cause, causes - 1) }),
  }
}

/**
 * @param {DescribedError} described
 * @param {Core} core
 */
function instantiate({ kind, message, code, delayMs }, core) {
  const text = String(code)
  switch (kind) {
    case 'UnrecoverableError':
      return new core.UnrecoverableError(text, message)
    case 'RetryAfterError':
      return new core.RetryAfterError(text, message, delayMs ?? Number.NaN)
    case 'SnoozeError':
      return new core.SnoozeError(delayMs ?? Number.NaN, message)
    case 'AttemptAborted':
      return new core.AttemptAborted(/** @type {import('@taskfleet/core').AbortCode} */ (text), message)
    case 'FleetError':
      return new core.FleetError(text, message)
    default:
      return new Error(message)
  }
}

/**
 * The value that was thrown at the other end. Name, message, code and stack are kept, and the library's own classes.
 *
 * @param {Described} described
 * @param {Core} core
 * @returns {unknown}
 */
export function reviveError(described, core) {
  if ('thrown' in described) return described.thrown
  const error = instantiate(described, core)
  /** @type {Record<string, unknown>} */
  const kept = { name: described.name, stack: described.stack ?? `${described.name}: ${described.message}` }
  for (const key of /** @type {const} */ (['code', 'field', 'delayMs'])) {
    if (described[key] !== undefined) kept[key] = described[key]
  }
  if (described.cause !== undefined) kept.cause = reviveError(described.cause, core)
  for (const [key, value] of Object.entries(kept)) {
    const enumerable = key === 'code' || key === 'field' || key === 'delayMs'
    Object.defineProperty(error, key, { value, enumerable, writable: true, configurable: true })
  }
  return error
}

/**
 * A value for the channel. The structured clone keeps dates, maps, sets and bytes by itself, but would make an ObjectId
 * a bare object.
 *
 * @param {unknown} value
 * @returns {Packed}
 */
export function pack(value) {
  /** @type {Packed['bson']} */
  const bson = []
  /** @type {Set<object>} */
  const seen = new Set()
  /**
   * @param {unknown} node
   * @param {(string | number)[]} path
   */
  const visit = (node, path) => {
    if (typeof node !== 'object' || node === null) return
    if ('_bsontype' in node) {
      bson.push({ path, bytes: BSON.serialize({ v: node }) })
      return
    }
    if (seen.has(node)) return
    const plain = Array.isArray(node) || [Object.prototype, null].includes(Object.getPrototypeOf(node))
    if (!plain) return
    seen.add(node)
    for (const [key, child] of Object.entries(node)) visit(child, [...path, key])
  }
  visit(value, [])
  return { value, bson }
}

/**
 * @param {Packed} packed
 * @returns {unknown}
 */
export function unpack({ value, bson }) {
  const root = { value }
  for (const { path, bytes } of bson) {
    const keys = ['value', ...path]
    const last = /** @type {string} */ (keys.pop())
    /** @type {Record<string, unknown>} */
    let holder = root
    for (const key of keys) holder = /** @type {Record<string, unknown>} */ (holder[key])
    holder[last] = BSON.deserialize(bytes, { promoteValues: false }).v
  }
  return root.value
}
