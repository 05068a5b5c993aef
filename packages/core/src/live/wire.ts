import { mongo, Types } from 'mongoose'
import type { CollectionName, Row } from '../protocol.ts'
import { FIELDS, SECRET_FIELDS } from './fields.ts'

/** A stored value as it travels: ids as hex, dates as ISO 8601, numbers of any width as numbers or text. */
export function toWire(value: unknown): unknown {
  if (value === null || typeof value !== 'object') {
    return typeof value === 'bigint'
      ? value.toString()
      : typeof value === 'number' && !Number.isFinite(value)
        ? null
        : value
  }
  if (value instanceof Types.ObjectId) return value.toHexString()
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? null : value.toISOString()
  if (Array.isArray(value)) return value.map(toWire)
  if (value instanceof mongo.Binary) return value.toString('base64')
  if ('_bsontype' in value) return String(value)
  const plain: Record<string, unknown> = {}
  for (const [key, inner] of Object.entries(value)) if (inner !== undefined) plain[key] = toWire(inner)
  return plain
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
  const secret = SECRET_FIELDS[collection]
  const picked = fields === undefined ? omit(doc, FIELDS[collection].rowWithout) : pick(doc, [...fields, 'rev'])
  const row = toWire(omit(picked, secret)) as R & { attempts?: Record<string, unknown>[] }
  // An attempt's entry holds its lease, which proves a claim.
  if (Array.isArray(row.attempts)) row.attempts = row.attempts.map((attempt) => omit(attempt, ['lease']))
  return { ...row, _id: String(toWire(doc._id)) }
}

/** The whole task or other document, without what proves a claim. */
export function toFullRow<R extends Row = Row>(collection: CollectionName, doc: object): R {
  return toRow(collection, doc as Record<string, unknown>, Object.keys(doc))
}

function omit(doc: Record<string, unknown>, keys: readonly string[]): Record<string, unknown> {
  return Object.fromEntries(Object.entries(doc).filter(([key]) => !keys.includes(key)))
}

function pick(doc: Record<string, unknown>, paths: readonly string[]): Record<string, unknown> {
  const picked: Record<string, unknown> = {}
  for (const path of paths) {
    const parts = path.split('.')
    const value = parts.reduce<unknown>(
      (inner, part) =>
        typeof inner === 'object' && inner !== null && Object.hasOwn(inner, part)
          ? (inner as Record<string, unknown>)[part]
          : undefined,
      doc,
    )
    if (value === undefined) continue
    let place = picked
    for (const part of parts.slice(0, -1)) place = (place[part] ??= {}) as Record<string, unknown>
    place[parts.at(-1)!] = value
  }
  return picked
}
