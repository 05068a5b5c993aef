import { expect, test } from 'vitest'
import { planOf, tieBreak } from './query-plan.ts'

const LATER = new Date()
const newest = { _id: -1 } as const

test.each<[what: string, collection: string, filter: object, sort: object, plan: string | undefined]>([
  ['everything, newest first', 'tasks', {}, newest, 'sort _id_'],
  ['a value in the input, newest first', 'tasks', { 'input.file': { $eq: 'a' } }, newest, 'sort _id_'],
  ['a value in the input, by its date', 'tasks', { 'input.file': { $eq: 'a' } }, { createdAt: -1 }, undefined],
  ['a value in the input, counted', 'tasks', { 'input.file': 'a' }, {}, undefined],
  ['an open status', 'tasks', { status: { $eq: 'running' } }, { claimedAt: 1 }, 'filter running_tasks'],
  ['an open status in a list of one', 'tasks', { status: { $in: ['paused'] } }, { claimedAt: 1 }, 'filter paused'],
  ['several statuses at once', 'tasks', { status: { $in: ['paused', 'pending'] } }, { priority: 1 }, undefined],
  [
    'one branch for each',
    'tasks',
    { $or: [{ status: 'paused' }, { status: 'blocked' }] },
    { priority: 1 },
    'filter paused blocked',
  ],
  ['a branch without an index', 'tasks', { $or: [{ status: 'paused' }, { name: 'a' }] }, { priority: 1 }, undefined],
  [
    'a branch within a filter',
    'tasks',
    { $and: [{ name: 'a' }, { $or: [{ after: 'a' }, { event: 'b' }] }] },
    {},
    'filter after event',
  ],
  ['an ended status', 'tasks', { status: { $eq: 'failed' } }, { finishedAt: -1, _id: -1 }, undefined],
  [
    'the history by its end',
    'tasks',
    { status: 'failed', finishedAt: { $lte: LATER } },
    { finishedAt: -1, _id: -1 },
    'filter ended',
  ],
  [
    'the history of a host',
    'tasks',
    { host: { $eq: 'fra-1' }, finishedAt: { $gte: LATER, $lt: LATER } },
    { finishedAt: -1, _id: -1 },
    'filter ended',
  ],
  ['the history backwards', 'tasks', { finishedAt: { $exists: true } }, { finishedAt: 1, _id: 1 }, 'sort ended'],
  ['ties in the other direction', 'tasks', { finishedAt: { $exists: true } }, { finishedAt: -1, _id: 1 }, undefined],
  ['tasks without an end', 'tasks', { finishedAt: null }, { finishedAt: -1, _id: -1 }, undefined],
  ['a label', 'tasks', { 'labels.customer': { $eq: 'c' } }, { createdAt: 1 }, 'filter labels'],
  ['a label that is not there', 'tasks', { 'labels.customer': { $exists: false } }, { createdAt: 1 }, undefined],
  ['ids', 'tasks', { _id: { $in: [1, 2] } }, { priority: 1 }, 'filter _id_'],
  ['a negation', 'tasks', { _id: { $not: { $eq: 1 } } }, { priority: 1 }, undefined],
  ['no predecessors', 'tasks', { after: null }, { createdAt: 1 }, undefined],
  ['events of a prefix', 'events', { name: { $regex: /^a/u } }, { createdAt: -1 }, 'filter by_name'],
  ['events that contain a text', 'events', { name: { $regex: /a/iu } }, { createdAt: -1 }, undefined],
  ['events of a status', 'events', { status: 'finished' }, { createdAt: -1 }, undefined],
  ['due events of a status', 'events', { status: 'scheduled', scheduledFor: { $lte: LATER } }, {}, 'filter open'],
  ['events of a status in their order', 'events', { status: 'processing' }, { scheduledFor: 1, _id: 1 }, 'sort open'],
])('%s', (_, collection, filter, sort, expected) => {
  const plan = planOf(collection, filter as never, sort as never)
  expect(plan && [plan.by, ...plan.indexes].join(' ')).toBe(expected)
})

test('ties are broken in the direction in which an index has them', () => {
  expect(tieBreak('tasks', { finishedAt: -1 })).toBe(-1)
  expect(tieBreak('tasks', { finishedAt: 1 })).toBe(1)
  expect(tieBreak('tasks', { priority: -1 })).toBe(1)
  expect(tieBreak('tasks', {})).toBe(1)
})
