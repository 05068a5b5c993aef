import { Types } from 'mongoose'
import { describe, expect, test } from 'vitest'
import { type Doc, fits, misfits } from './shape.ts'
import { SHAPES, type ShapedCollection } from './shapes.ts'

const at = new Date(0)
const _id = new Types.ObjectId()
const LARGE = 2 ** 40

/** The minimum that each document has had since its first version, with values beyond today's limits of requests. */
const LEAST: Record<ShapedCollection, Doc> = {
  tasks: {
    ...{ _id, name: '', version: 0, status: 'pending', queue: '', priority: 1, basePriority: 10, runAt: at, order: at },
    ...{ lazy: false, attempt: 0, failures: LARGE, lost: 0, maxAttempts: LARGE, attempts: [{ n: 0 }], rev: 0 },
    ...{ createdAt: at, updatedAt: at },
  },
  queues: { _id: 'a queue' },
  schedules: {
    ...{ _id: 'a schedule', task: '', version: 0, options: { queue: '' }, every: 1, timeZone: '', missed: 'other' },
    ...{ overlap: 'other', paused: false, createdAt: at, edition: 0, rev: 0 },
  },
  keys: { _id: '', hash: 'a'.repeat(64), scopes: ['other'] },
  workers: {
    ...{ _id: '', name: '', role: 'other', state: 'other', queues: [], tasks: [], slots: 0.5, running: -1 },
    load: { cpu: 0, rss: 0, memoryFree: 0, eventLoopDelayMs: 0 },
    ...{ heartbeatMs: 1, heartbeatAt: at },
  },
  events: { _id, name: '', scheduledFor: at, status: 'finished', tasks: [], createdAt: at, rev: 0 },
  callbacks: { _id, event: '', task: '', version: 0, defaults: { maxAttempts: LARGE }, rev: 0 },
  errors: {
    ...{ _id: '', code: '', name: '', message: '', state: 'other', count: 0, trend: [], tasks: [], versions: [] },
    ...{ hosts: [], samples: [], firstSeenAt: at, lastSeenAt: at, rev: 0 },
  },
  audit: { _id, at, by: '', action: 'other' },
  bulk: {
    ...{
      _id,
      command: 'other',
      by: '',
      state: 'other',
      startedAt: at,
      matched: 0,
      changed: 0,
      unchanged: 0,
      refused: 0,
    },
    ...{ refusals: [], parts: 0, next: 0 },
  },
  taskLogs: { task: _id, attempt: 0, from: 0, lines: [] },
  throttles: { _id: '', task: _id, until: at },
}

/** Parts that a document may have in the same way. */
const WITH: Partial<Record<ShapedCollection, Doc>> = {
  tasks: {
    ...{ status: 'running', lease: { id: '', worker: '', expiresAt: at }, control: { action: 'other', by: '' } },
    ...{ error: { code: '', message: '' }, after: [_id], attempts: [{ n: 1, error: {}, lease: '', outcome: 'other' }] },
    ...{ progress: { at }, retry: 'any', timeout: 'any', totalTimeout: 'any', stall: 'any', ifFailed: 'any' },
    ...{ checkpointAttempt: 'any', predecessors: 'any', signature: 'any', added: 'by a later version' },
  },
  queues: { concurrency: LARGE, rate: { limit: LARGE, per: 1 }, maxWaiting: 0 },
  schedules: {
    options: { queue: '', deadlineAfter: 0, retry: 'any', stall: 'any' },
    lastSkipped: { slot: at, reason: '' },
  },
  workers: { gate: { open: true }, control: { action: '', by: '', at: 'any' }, pid: 'any', leaseMs: 1 },
  events: { results: [{}], props: 'any' },
  callbacks: { defaults: { input: {}, timeout: 'any' } },
  audit: { target: 5, filter: 5, reason: 5, refused: 5 },
}

describe.each(Object.entries(LEAST))('%s', (name, least) => {
  const shape = SHAPES[name as ShapedCollection]

  // A new field that clients always see must not be required in documents that are already stored.
  test('as earlier versions stored them are readable', () => {
    expect(misfits(shape, least)).toEqual([])
    expect(misfits(shape, { ...least, ...WITH[name as ShapedCollection] })).toEqual([])
  })

  test('are not readable without any of these fields', () => {
    for (const field of Object.keys(least)) expect(fits(shape, { ...least, [field]: undefined }), field).toBe(false)
  })
})
