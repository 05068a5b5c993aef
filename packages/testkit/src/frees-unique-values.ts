import { randomUUID } from 'node:crypto'
import type { mongo } from 'mongoose'

/** False on a server that keeps a unique value taken after an update has removed it, as one stand-in does. */
export async function freesUniqueValues(db: mongo.Db): Promise<boolean> {
  const probe = db.collection<{ _id: number; value?: string }>(`uniqueProbe${randomUUID()}`)
  await probe.createIndex({ value: 1 }, { unique: true, sparse: true })
  await probe.insertOne({ _id: 1, value: 'taken' })
  await probe.updateOne({ _id: 1 }, { $unset: { value: 1 } })
  return probe.insertOne({ _id: 2, value: 'taken' }).then(
    () => true,
    () => false,
  )
}
