import type { mongo } from 'mongoose'

/** The different values of a field, of each of its elements where it is a list. `distinct` itself is outside of the Stable API. */
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
