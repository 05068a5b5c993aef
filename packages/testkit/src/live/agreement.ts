import { compileQuery } from '@taskfleet/core/internal'
import fc from 'fast-check'
import { mongo } from 'mongoose'
import { askedFilter, differsFromMongod, isComparedExactly, serverKind, storedTask } from './generated-queries.ts'

export interface Agreement {
  /** How many filters were compared on how many documents. */
  pairs: number
  /** How many of the pairs matched. */
  fitted: number
}

/**
 * Compares the matcher with the server: each generated filter on all generated documents at once, so that a pair is cheap
 * even if a command takes long.
 *
 * @param batches each has documents of its own
 * @throws Error with the smallest filter on which they differ, and its documents
 */
export async function checkAgreement(
  db: mongo.Db,
  { batches, documents, filters, seed }: { batches: number; documents: number; filters: number; seed: number },
): Promise<Agreement> {
  const kind = await serverKind(db)
  const agreement = { pairs: 0, fitted: 0 }
  const asked = askedFilter.filter((filter) => !differsFromMongod(kind, filter))
  const stored = storedTask.filter((task) => isComparedExactly(kind, task))
  for (let batch = 0; batch < batches; batch += 1) {
    const collection = db.collection<{ _id: number }>(`agreement-${batch}`)
    const batchSeed = seed + batch
    const tasks = fc.sample(stored, { numRuns: documents, seed: batchSeed })
    await collection.insertMany(tasks.map((task, _id) => ({ ...task, _id })))
    // Read back, like documents of the feed.
    const held = await collection.find().toArray()
    await fc.assert(
      fc.asyncProperty(asked, async (filter) => {
        const query = compileQuery({ filter })
        const found = new Set(await idsOf(collection, query.filter as mongo.Filter<{ _id: number }>))
        const parted = held.filter((doc) => query.matches(doc) !== found.has(doc._id))
        agreement.pairs += held.length
        agreement.fitted += found.size
        if (parted.length === 0) return
        const lines = parted.slice(0, 3).map((doc) => `${found.has(doc._id) ? 'server' : 'matcher'} only: ${text(doc)}`)
        throw new Error(`seed ${seed}: ${text(query.filter)}\n${lines.join('\n')}`)
      }),
      { numRuns: filters, seed: batchSeed },
    )
    await collection.drop()
  }
  return agreement
}

const text = (value: unknown): string => mongo.BSON.EJSON.stringify(value as object, { relaxed: false })

async function idsOf(
  collection: mongo.Collection<{ _id: number }>,
  filter: mongo.Filter<{ _id: number }>,
): Promise<number[]> {
  const docs = await collection.find(filter, { projection: { _id: 1 } }).toArray()
  return docs.map(({ _id }) => _id)
}
