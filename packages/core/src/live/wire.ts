import type { CollectionName, Row } from '@taskfleet/protocol'
import { mongo, Types } from 'mongoose'
import { isPlainObject } from '../documents/plain.ts'
import { FIELDS, SECRET_FIELDS } from './fields.ts'

/** A stored value as it travels: ids as hex, dates as ISO 8601, numbers as numbers, or as text where JSON has none. */
export function toWire(value: unknown): unknown {
  if (value === null || typeof value !== 'object') {
    return typeof value === 'bigint'
      ? value.toString()
      : typeof value === 'number' && !Number.isFinite(value)
        ? String(value)
        : value
  }
  if (value instanceof Types.ObjectId) return value.toHexString()
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? null : value.toISOString()
  if (Array.isArray(value)) return value.map(toWire)
  if (value instanceof mongo.Binary) return value.toString('base64')
  if (value instanceof Uint8Array) return Buffer.from(value).toString('base64')
  // Other BSON types have their own classes; a stored document with a field called `_bsontype` is none.
  if ('_bsontype' in value && !Object.hasOwn(value, '_bsontype')) return String(value)
  const shown: Record<string, unknown> = {}
  for (const [key, inner] of Object.entries(value)) if (inner !== undefined) put(shown, key, toWire(inner))
  return shown
}

/** A stored key may be `__proto__`, which an assignment would take for something else. */
function put(target: Record<string, unknown>, key: string, value: unknown): void {
  if (key === '__proto__') {
    Object.defineProperty(target, key, { value, enumerable: true, writable: true, configurable: true })
  } else target[key] = value
}

/**
 * A document as a client may see it.
 *
 * @param fields dotted paths that were asked for; without them everything that isn't heavy
 */
export function toRow<R extends Row = Row>(
  collection: CollectionName,
  doc: Record<string, unknown>,
  fields?: readonly string[],
): R {
  const shown = fields === undefined ? omit(doc, FIELDS[collection].rowWithout) : pick(doc, toTree([...fields, 'rev']))
  return shownRow(collection, doc._id, shown)
}

/** The whole task or other document, without what proves a claim. */
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
  // Every change passes here for every view that it fits: plain loops are several times as quick as a chain.
  const rest: Record<string, unknown> = {}
  for (const key of Object.keys(doc)) if (!keys.includes(key)) put(rest, key, doc[key])
  return rest
}

/** What is asked for, by its parts; a leaf is `true`. */
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

/** As MongoDB's projection picks, so that a row is the same whether it was read or came from the feed. */
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

/** Documents within arrays are picked from one by one; what is no document has nothing below it. */
function pickBelow(value: unknown, tree: Tree): unknown {
  if (Array.isArray(value)) return value.map((one) => pickBelow(one, tree)).filter((one) => one !== undefined)
  return isPlainObject(value) ? pick(value, tree) : undefined
}
