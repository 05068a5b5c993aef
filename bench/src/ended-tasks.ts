import type { Collection, Document } from 'mongodb'

const PAGE = 1_000
const DAY_MS = 86_400_000

/**
 * Stores copies of an ended document until the collection has `count` more, with ids and dates of the last day: an index must not find
 * them all at one place.
 *
 * @param ended an ended task, as the measured queue stored it
 */
export async function storeEnded(collection: Collection, ended: Document, count: number): Promise<void> {
  for (let stored = 0; stored < count; stored += PAGE) {
    const copies = Array.from({ length: Math.min(PAGE, count - stored) }, () => copyOf(ended))
    await collection.insertMany(copies, { ordered: false })
  }
}

/** The driver adds a new id. */
function copyOf({ _id: _, ...fields }: Document): Document {
  const earlierMs = Math.floor(Math.random() * DAY_MS)
  const moved = Object.entries(fields).map(([name, value]) => [
    name,
    value instanceof Date ? new Date(value.getTime() - earlierMs) : value,
  ])
  return Object.fromEntries(moved)
}
