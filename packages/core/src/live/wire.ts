import type { CollectionName, Row } from '@taskfleet/protocol'
import { driver } from '../database/driver.ts'
import { isPlainObject } from '../documents/plain.ts'
import { FIELDS, SECRET_FIELDS } from './fields.ts'

/** Converts a stored value for JSON: ids to hex, dates to ISO 8601, and numbers that JSON can't hold to text. */
export function toWire(value: unknown): unknown {
  if (value === null || typeof value !== 'object') {
    return typeof value === 'bigint'
      ? value.toString()
      : typeof value === 'number' && !Number.isFinite(value)
        ? String(value)
        : value
  }
  if (value instanceof driver.ObjectId) return value.toHexString()
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? null : value.toISOString()
  if (Array.isArray(value)) return value.map(toWire)
  if (value instanceof driver.Binary) return value.toString('base64')
  if (value instanceof Uint8Array) return Buffer.from(value).toString('base64')
  // Other BSON types have their own classes. A stored document with a field called `_bsontype` is not one of them.
  if ('_bsontype' in value && !Object.hasOwn(value, '_bsontype')) return String(value)
  const shown: Record<string, unknown> = {}
  for (const [key, inner] of Object.entries(value)) if (inner !== undefined) put(shown, key, toWire(inner))
  return shown
}

/** Sets a key safely: a stored key may be `__proto__`, and an assignment would set the prototype. */
function put(target: Record<string, unknown>, key: string, value: unknown): void {
  if (key === '__proto__') {
    Object.defineProperty(target, key, { value, enumerable: true, writable: true, configurable: true })
  } else target[key] = value
}

/**
 * A document as a client may see it.
 *
 * @param fields the requested dotted paths; by default, all fields that aren't heavy
 */
export function toRow<R extends Row = Row>(
  collection: CollectionName,
  doc: Record<string, unknown>,
  fields?: readonly string[],
): R {
  const shown = fields === undefined ? omit(doc, FIELDS[collection].rowWithout) : pick(doc, toTree([...fields, 'rev']))
  return shownRow(collection, doc._id, shown)
}

/** The whole document, without the fields that prove a claim. */
export function toFullRow<R extends Row = Row>(collection: CollectionName, doc: object): R {
  const whole = doc as Record<string, unknown>
  return shownRow(collection, whole._id, whole)
}

function shownRow<R extends Row>(collection: CollectionName, id: unknown, shown: Record<string, unknown>): R {
  const row = toWire(omit(shown, SECRET_FIELDS[collection])) as R & { attempts?: unknown }
  // An attempt's entry holds its lease, which proves a claim.
  if (Array.isArray(row.attempts)) row.attempts = row.attempts.map(withoutLease)
  return { ...row, _id: String(toWire(id)) }
}

const withoutLease = (attempt: unknown): unknown =>
  typeof attempt === 'object' && attempt !== null ? omit(attempt as Record<string, unknown>, ['lease']) : attempt

function omit(doc: Record<string, unknown>, keys: readonly string[]): Record<string, unknown> {
  // This runs for every change in every view that it fits. Plain loops are several times faster than a chain.
  const rest: Record<string, unknown> = {}
  for (const key of Object.keys(doc)) if (!keys.includes(key)) put(rest, key, doc[key])
  return rest
}

/** The requested paths as a tree of their parts; a leaf is `true`. */
type Tree = Map<string, Tree | true>

function toTree(paths: readonly string[]): Tree {
  const byHead = new Map<string, string[]>()
  for (const path of paths) {
    const dot = path.indexOf('.')
    const head = dot < 0 ? path : path.slice(0, dot)
    byHead.set(head, [...(byHead.get(head) ?? []), dot < 0 ? '' : path.slice(dot + 1)])
  }
  return new Map([...byHead].map(([head, rests]) => [head, rests.includes('') ? true : toTree(rests)]))
}

/** Picks fields as MongoDB's projection does, so that a row is the same from a read and from the feed. */
function pick(doc: Record<string, unknown>, tree: Tree): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(doc).flatMap(([key, value]) => {
      const wanted = tree.get(key)
      if (wanted === undefined) return []
      if (wanted === true) return [[key, value]]
      const below = pickBelow(value, wanted)
      return below === undefined ? [] : [[key, below]]
    }),
  )
}

/** In an array, picks from each document. A value that is not a document has nothing below it. */
function pickBelow(value: unknown, tree: Tree): unknown {
  if (Array.isArray(value)) return value.map((one) => pickBelow(one, tree)).filter((one) => one !== undefined)
  return isPlainObject(value) ? pick(value, tree) : undefined
}
