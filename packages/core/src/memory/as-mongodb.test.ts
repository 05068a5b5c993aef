import { useDatabase } from '@taskfleet/testkit/use-database'
import { type mongo, Types } from 'mongoose'
import { expect, test } from 'vitest'
import { MemoryDatabase } from './memory-database.ts'

const held = useDatabase()
const id = new Types.ObjectId('66f1c0ffee0123456789abcd')
const at = new Date('2027-03-01T12:00:00Z')

// Only cases in which the tests' stand-in database behaves like MongoDB.

/** One value of each type in `a`, some twice, and lists and objects with unusual parts. */
const VALUES: unknown[] = [
  ...[null, 0, 1, -1.5, 2 ** 40, '', 'a', 'b', '$a', true, false, at, new Date(0), id, new Types.ObjectId()],
  ...[[], [1], [1, 'a'], ['a'], [[1]], [null], {}, { b: 1 }, { b: null }, { b: { c: [1, 2] } }, { b: id }],
  ...[
    [{ b: 1 }, { b: 2 }, {}],
    [{ b: [1, 2] }, 5],
  ],
]
const DOCS: mongo.Document[] = [{ _id: 0 }, ...VALUES.map((a, index) => ({ _id: index + 1, a, n: index }))]

const EXPRESSIONS: unknown[] = [
  ...['$a', '$missing', '$$ROOT.a', { $literal: '$a' }, { $literal: { x: ['$$NOW'] } }],
  ...['$eq', '$ne', '$gt', '$gte', '$lt', '$lte'].flatMap((name) =>
    [null, 1, 'a', true, id, at, [1], { b: 1 }, '$missing'].map((to) => ({ [name]: ['$a', to] })),
  ),
  ...[{ $type: '$a' }, { $isNumber: '$a' }, { $isArray: ['$a'] }, { $not: [{ $eq: ['$a', 1] }] }],
  ...[{ $ifNull: ['$a', 'none'] }, { $ifNull: ['$missing', '$a', 0] }, { $cond: ['$a', 'yes', 'no'] }],
  ...[{ $cond: { if: { $eq: ['$a.b', 1] }, then: '$a', else: '$$REMOVE' } }, { x: '$a', y: ['$a', '$missing'] }],
  { $switch: { branches: [{ case: { $eq: ['$a', 1] }, then: 'one' }], default: '$missing' } },
  ...[{ $max: ['$a', 0] }, { $min: ['$a', 'a'] }, { $max: ['$missing', at] }, { $min: [null, '$a'] }, { $max: '$a' }],
  ...[{ $in: ['$a', [1, 'a', id, at, [1]]] }, { $setUnion: [['$n'], ['$n', '$n']] }],
  ...[{ $add: ['$n', 1] }, { $add: [at, '$n'] }, { $subtract: [at, '$n'] }, { $subtract: [at, new Date(5)] }],
  ...[{ $toDate: { $add: [{ $toLong: at }, '$n'] } }, { $toString: id }, { $toString: at }, { $toString: '$n' }],
  { $dateAdd: { startDate: at, unit: 'millisecond', amount: '$n' } },
  ...[{ $floor: { $divide: ['$n', 4] } }, { $pow: [2, '$n'] }, { $multiply: ['$n', '$missing'] }],
  ...[{ $concat: ['x', { $toString: '$n' }] }, { $concat: ['x', '$missing'] }, { $allElementsTrue: [[1, '$n']] }],
  ...[
    { $concatArrays: [[1], ['$a']] },
    { $concatArrays: [[1], '$missing'] },
    { $size: { $concatArrays: [['$a'], [1]] } },
  ],
  ...[
    { $slice: [[1, 2, 3], 2] },
    { $slice: [[1, 2, 3], -2] },
    { $slice: [[1, 2, 3], 1, 1] },
    { $slice: [[1, 2], -5, 1] },
  ],
  ...[{ $arrayElemAt: [['$a', 2], 1] }, { $arrayElemAt: [[1, 2], -1] }, { $arrayElemAt: [[1], 5] }],
  ...[
    { $indexOfArray: [['a', id, at], '$a'] },
    {
      $mergeObjects: [
        { x: 1, y: 2 },
        { y: '$missing', z: '$n' },
      ],
    },
  ],
  ...[{ $map: { input: ['$a', 1], as: 'one', in: { $eq: ['$$one', 1] } } }, { $map: { input: '$missing', in: 1 } }],
  { $map: { input: { $cond: [{ $isArray: ['$a'] }, '$a', []] }, as: 'one', in: { v: '$$one' } } },
  { $filter: { input: { $cond: [{ $isArray: ['$a'] }, '$a', []] }, as: 'one', cond: { $ne: ['$$one.b', 1] } } },
  { $and: [{ $lte: ['$$NOW', '$$NOW'] }, { $gt: ['$$NOW', at] }] },
]

const UPDATES: (mongo.Document | mongo.Document[])[] = [
  [{ $set: { 'a.b': '$n', copy: '$a.b' } }],
  [{ $set: { n: '$$REMOVE', c: '$n' } }],
  [{ $set: { a: { $literal: { c: '$n' } } } }, { $unset: ['n', 'a.b'] }],
  [{ $set: { 'x.y.z': 1 } }, { $set: { 'x.y.w': '$x.y.z', 'x.y.z': 2 } }],
  [{ $replaceWith: { _id: '$_id', was: '$$ROOT' } }],
  { $set: { 'x.y': '$n', z: [id, at, null] }, $inc: { n: 2, 'x.m': 1 }, $unset: { a: '' } },
]

const PIPELINES: mongo.Document[][] = [
  ...([1, -1] as const).map((way) => [{ $sort: { a: way, _id: 1 } }, { $project: { _id: 1 } }]),
  [{ $match: { $expr: { $gt: ['$a', 'a'] } } }, { $sort: { _id: -1 } }, { $limit: 5 }],
  [{ $match: { a: { $type: ['objectId', 'date'] } } }, { $count: 'found' }],
  [{ $match: { n: { $gte: 15, $lte: 20 } } }, { $unwind: '$a' }, { $sort: { _id: 1 } }],
  [
    { $group: { _id: { type: { $type: '$a' } }, count: { $sum: 1 }, most: { $max: '$n' }, least: { $min: '$a' } } },
    { $project: { type: '$_id.type', _id: 0, count: 1, most: 1, least: 1 } },
    { $sort: { type: 1 } },
  ],
  [{ $match: { n: { $lte: 25 } } }, { $sort: { _id: 1 } }, { $project: { 'a.b': 0, n: 0 } }],
  [{ $sort: { _id: 1 } }, { $project: { 'a.b': 1, next: { $add: ['$n', 1] } } }],
]

async function both(name: string): Promise<mongo.Collection[]> {
  const dbs = [held.database.db, new MemoryDatabase().db]
  const collections = dbs.map((db) => db.collection(name))
  for (const collection of collections) await collection.insertMany(DOCS as never)
  return collections
}

const answers = (collections: mongo.Collection[], pipeline: mongo.Document[]): Promise<mongo.Document[][]> =>
  Promise.all(collections.map((collection) => collection.aggregate(pipeline).toArray()))

test('expressions have the values that the server computes', async () => {
  const collections = await both('expressions')
  const fields = EXPRESSIONS.map((expression, index) => [`e${index}`, expression])
  const [server, memory] = await answers(collections, [{ $sort: { _id: 1 } }, { $project: Object.fromEntries(fields) }])
  const differing = EXPRESSIONS.flatMap((expression, index) =>
    DOCS.flatMap((doc, nth) => {
      const [there, here] = [server![nth]![`e${index}`], memory![nth]![`e${index}`]]
      return JSON.stringify([there]) === JSON.stringify([here]) ? [] : [{ expression, doc, there, here }]
    }),
  )
  expect(differing).toEqual([])
})

test.each([...UPDATES.entries()])('update %i changes what the server changes', async (index, update) => {
  const collections = await both(`updates${index}`)
  const objects = { n: { $gte: 21, $lte: 25 } }
  for (const collection of collections) await collection.updateMany(objects, update)
  const [server, memory] = await answers(collections, [{ $sort: { _id: 1 } }])
  expect(memory).toEqual(server)
})

test.each([...PIPELINES.entries()])('pipeline %i answers what the server answers', async (index, pipeline) => {
  const [server, memory] = await answers(await both(`pipelines${index}`), pipeline)
  expect(memory).toEqual(server)
})

test('an object without operators sets each of its fields and keeps the others', async () => {
  const things = new MemoryDatabase().db.collection<{ _id: number }>('things')
  await things.insertOne({ _id: 1, a: { b: 1, c: { d: 2 } } } as never)
  await things.updateOne({ _id: 1 }, [{ $set: { a: { c: { e: '$a.b' } } } }])
  expect(await things.findOne()).toEqual({ _id: 1, a: { b: 1, c: { d: 2, e: 1 } } })
})
