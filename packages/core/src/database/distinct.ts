import type { mongo } from 'mongoose'

/** The distinct values of a field; for a list, of its elements. The command `distinct` is not in the Stable API. */
export async function distinctValues<T extends object>(
  collection: mongo.Collection<T>,
  field: string,
  filter: mongo.Filter<T>,
): Promise<unknown[]> {
  const groups = collection.aggregate<{ _id: unknown }>([
    { $match: filter },
    { $project: { _id: 0, value: `$${field}` } },
    { $unwind: '$value' },
    { $group: { _id: '$value' } },
  ])
  return (await groups.toArray()).map(({ _id }) => _id)
}
