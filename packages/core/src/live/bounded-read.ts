import { type CollectionName, FleetError } from '@taskfleet/protocol'
import { driver } from '../database/driver.ts'
import { FIELDS } from './fields.ts'

/** The most bytes that a view or one response may have. */
export const MOST_BYTES = 8 * 1024 * 1024
/** The most bytes that a page may have, besides its last row. A gateway keeps a page for a client that reads slowly. */
const PAGE_BYTES = 512 * 1024
/** How many documents the server sends at a time. A whole batch is in memory before its bytes can be counted. */
const BATCH = { light: 250, heavy: 8 } as const

/** Whether rows with these fields may have hundreds of kilobytes each. */
export function isHeavy(collection: CollectionName, fields: readonly string[] | undefined): boolean {
  return fields?.some((field) => FIELDS[collection].rowWithout.includes(field.split('.')[0]!)) ?? false
}

export const batchFor = (collection: CollectionName, fields: readonly string[] | undefined): number =>
  isHeavy(collection, fields) ? BATCH.heavy : BATCH.light

/**
 * Reads documents until they have too many bytes. The rest stays on the server.
 *
 * @param wanted how many documents must fit
 * @returns the documents that fit, and whether there are more
 * @throws {FleetError} `TOO_BIG`
 */
export async function readBounded<Doc>(
  found: AsyncIterable<Doc>,
  wanted: number,
  most = MOST_BYTES,
): Promise<{ docs: Doc[]; cut: boolean }> {
  const docs: Doc[] = []
  let bytes = 0
  for await (const doc of found) {
    bytes += sizeOf(doc)
    if (bytes > most && docs.length < wanted) throw tooBig(docs.length, wanted, most)
    if (bytes > most) return { docs, cut: true }
    docs.push(doc)
  }
  return { docs, cut: false }
}

/** Reads a page of documents, of at least one. `cut` is whether there are more than fit. */
export async function readPage<Doc>(found: AsyncIterable<Doc>): Promise<{ docs: Doc[]; cut: boolean }> {
  const docs: Doc[] = []
  let bytes = 0
  for await (const doc of found) {
    if (bytes > PAGE_BYTES) return { docs, cut: true }
    bytes += sizeOf(doc)
    docs.push(doc)
  }
  return { docs, cut: false }
}

function tooBig(fitting: number, wanted: number, most: number): FleetError {
  const room = `${most / (1024 * 1024)} MiB`
  return new FleetError(
    'TOO_BIG',
    `The first ${fitting} of up to ${wanted} rows fill the ${room} that a response may have. Request fewer fields, or set a limit below ${Math.max(fitting, 1)}`,
    { field: 'limit' },
  )
}

/** About how many bytes a value takes, in memory and on the wire. BSON's exact count takes ten times as long. */
export function sizeOf(value: unknown): number {
  if (typeof value === 'string') return value.length + 8
  if (typeof value !== 'object' || value === null || value instanceof Date) return 8
  if (Array.isArray(value)) return value.reduce<number>((sum, one) => sum + sizeOf(one), 8)
  if (value instanceof driver.Binary) return value.length()
  if (value instanceof Uint8Array) return value.byteLength
  if ('_bsontype' in value && !Object.hasOwn(value, '_bsontype')) return 16
  let sum = 8
  for (const key of Object.keys(value)) sum += key.length + sizeOf((value as Record<string, unknown>)[key])
  return sum
}
