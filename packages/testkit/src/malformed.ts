import type { TaskDocument } from '@taskfleet/core'
import type { Doc, ShapedCollection } from '@taskfleet/core/internal'
import { mongo } from 'mongoose'

const PAST = new Date(Date.now() - 60_000)
const { Decimal128, Long, ObjectId } = mongo.BSON

/** Changes of a task by hand that make it invalid: a missing field, and fields with invalid values. */
const OF_PENDING: Readonly<Record<string, Doc>> = {
  'a status that there is not': { status: 'weird' },
  'null as status': { status: null },
  'no status': { status: undefined },
  'a number as status': { status: 5 },
  'a list as status': { status: ['pending'] },
  'an object as status': { status: { a: 1 } },
  'a text as attempt': { attempt: '1' },
  'a text as rev': { rev: '7' },
  'no rev': { rev: undefined },
  'NaN as rev': { rev: Number.NaN },
  'a rev that nothing can be added to': { rev: Number.MAX_SAFE_INTEGER },
  'a decimal as rev': { rev: Decimal128.fromString('1.5') },
  'the largest long as attempt': { attempt: Long.fromString('9223372036854775807') },
  'an object as attempts': { attempts: { a: 1 } },
  'no attempts': { attempts: undefined },
  'null as attempts': { attempts: null },
  'texts as attempts': { attempts: ['a'] },
  'failures below zero': { failures: -5 },
  'no attempt allowed': { maxAttempts: 0 },
  'a word as priority': { priority: 'high' },
  'a priority that there is not': { priority: 1e9 },
  'a text as runAt': { runAt: 'yesterday' },
  'a number as runAt': { runAt: 5 },
  'no runAt': { runAt: undefined },
  'null as runAt': { runAt: null },
  'no order': { order: undefined },
  'a text as order': { order: 'x' },
  'no queue': { queue: undefined },
  'a number as queue': { queue: 5 },
  'an operator as queue': { queue: { $gt: '' } },
  'no name': { name: undefined },
  'a number as name': { name: 5 },
  'a text as version': { version: '1' },
  'half a version': { version: 1.5 },
  'a text as createdAt': { createdAt: 'x' },
  'a text as updatedAt': { updatedAt: 'zzz' },
  'an ISO text as updatedAt': { updatedAt: '2026-01-01T00:00:00Z' },
  'no updatedAt': { updatedAt: undefined },
  'texts as deadline': { deadline: 'x', raiseAt: 'y' },
  'a text as deadline that nears': { deadline: 'x', raiseAt: PAST },
  'a text as lease': { lease: 'x' },
  'a text as control': { control: 'cancel' },
  'a text as progress': { progress: 'x' },
  'a text as the time of progress': { progress: { ratio: 0.5, at: '2026-11-28T20:00:00.000Z' } },
  'a number as error': { error: 5 },
  'a text as predecessor': { after: 'x', status: 'blocked' },
  'a text as event': { event: 'x' },
  'a text as id': { _id: 'not-an-id' },
  'an object as id': { _id: { a: 1 } },
  'a number as id': { _id: 0.5 },
}

const OF_RUNNING: Readonly<Record<string, Doc>> = {
  'no lease': { lease: undefined },
  'null as lease': { lease: null },
  'a text as lease': { lease: 'x' },
  'a list as lease': { lease: [{ id: 'a', expiresAt: PAST }] },
  'a lease without an end': { lease: { id: 'a', worker: 'dead' } },
  'a lease that ends at a text': { lease: { id: 'b', worker: 'dead', expiresAt: 'x' } },
  'a number as lease id': { lease: { id: 5, worker: 'dead', expiresAt: PAST } },
  'an object as attempts': { attempts: { a: 1 } },
  'a text as attempt': { attempt: 'x' },
  'a text as updatedAt': { updatedAt: 'zzz' },
  'no priority': { priority: undefined },
  'an object as publicUrl': { publicUrl: { a: 1 } },
  'a number as host': { host: 5 },
  'a text as id': { _id: 'running-one' },
  'an object as id': { _id: { running: 1 } },
}

/**
 * One invalid task for each of these changes, as a document that is due or whose lease has expired.
 *
 * @param good a well-formed task that waits; its name, queue and so on are kept
 * @param nth makes the ids of several of the same kind differ
 */
export function malformedTasks(good: TaskDocument, nth = 0): Map<string, Doc> {
  const pending: Doc = { ...good, runAt: PAST, order: PAST }
  const entry = { n: 1, worker: 'dead', lease: 'x', claimedAt: PAST }
  const made = new Map<string, Doc>()
  for (const [kind, odd] of Object.entries(OF_PENDING)) {
    made.set(`waits with ${kind}`, odded({ ...pending, _id: new ObjectId() }, odd, nth))
  }
  // Keys and places are unique.
  made.set('waits with a number as key', { ...pending, _id: new ObjectId(), key: Math.random() })
  made.set('waits with a number as slot', { ...pending, _id: new ObjectId(), slot: Math.random() })
  for (const [kind, odd] of Object.entries(OF_RUNNING)) {
    const lease = { id: `dead-${new ObjectId().toHexString()}`, worker: 'dead', expiresAt: PAST }
    const running = { ...pending, status: 'running', attempt: 1, worker: 'dead', lease, attempts: [entry] }
    made.set(`runs with ${kind}`, odded({ ...running, _id: new ObjectId() }, odd, nth))
  }
  made.set('has nothing but its id', { _id: new ObjectId() })
  return made
}

/** Without the missing fields; an id that is no ObjectId gets the number of its kind. */
function odded(doc: Doc, odd: Doc, nth: number): Doc {
  const changed = Object.entries({ ...doc, ...odd }).filter(([, value]) => value !== undefined)
  const { _id, ...rest } = Object.fromEntries(changed)
  if (typeof _id === 'string') return { _id: `${_id}-${nth}`, ...rest }
  if (typeof _id === 'number') return { _id: _id + nth, ...rest }
  return _id instanceof ObjectId ? { _id, ...rest } : { _id: { ...(_id as object), nth }, ...rest }
}

/** Malformed documents of the other collections. @param nth makes the ids of several of the same kind differ */
export function malformedDocuments(task: string, nth = 0): Record<Exclude<ShapedCollection, 'tasks'>, Doc[]> {
  const name = (text: string): string => `${text}-${nth}`
  const schedule = { options: { queue: 'default' }, timeZone: 'UTC', missed: 'latest', overlap: 'allow', paused: false }
  const due = { task, version: 1, input: {}, nextAt: PAST, createdAt: PAST, edition: 1, rev: 1, ...schedule }
  return {
    queues: [
      { _id: name('q1'), concurrency: 'x' },
      { _id: name('q2'), rate: { limit: 'x' } },
      { _id: name('q3'), paused: 'yes', concurrency: -1 },
      { _id: 5 + nth },
    ],
    schedules: [
      { _id: name('s1') },
      { _id: name('s2'), ...due, cron: 'not a cron' },
      { _id: name('s3'), ...due, cron: '* * * * *', timeZone: 'Mars/X' },
      { _id: name('s4'), task, every: -5, nextAt: PAST, options: null },
      { _id: name('s5'), task: 5, every: 1, nextAt: 'x', options: { queue: {} } },
      { _id: name('s6'), ...due, every: 'often' },
    ],
    keys: [
      { _id: `aaaaaaaa${hex(nth)}` },
      { _id: `bbbbbbbb${hex(nth)}`, hash: 'short', scopes: ['admin'] },
      { _id: `cccccccc${hex(nth)}`, hash: 5, scopes: 'admin' },
      { _id: `dddddddd${hex(nth)}`, hash: 'a'.repeat(64), scopes: null },
      { _id: `eeeeeeee${hex(nth)}`, hash: 'a'.repeat(64), scopes: ['read'], queues: 'q' },
    ],
    workers: [
      { _id: name('w1') },
      { _id: name('w2'), state: 'running', heartbeatAt: 'x', tasks: 'y', queues: null, heartbeatMs: 'z' },
      { _id: name('w3'), state: 'running', heartbeatAt: new Date(Date.now() + 3e7), heartbeatMs: 2_500, name: 5 },
      { _id: 5 + nth, state: 'running' },
    ],
    events: [
      { _id: new ObjectId() },
      { _id: new ObjectId(), status: 'processing', tasks: 'x', rev: 1 },
      { _id: new ObjectId(), status: 'scheduled', scheduledFor: PAST, tasks: [5, null], rev: 'x' },
      { _id: name('e4'), status: 'processing' },
    ],
    callbacks: [
      { _id: new ObjectId() },
      { _id: new ObjectId(), event: 'Listened', task: 5 },
      { _id: new ObjectId(), event: 'Listened', task, version: 1, defaults: 5, rev: 1 },
      { _id: new ObjectId(), event: 'Listened', task: '../x', version: 1, defaults: {}, rev: 1 },
    ],
    errors: [{ _id: name('f1') }, { _id: 5 + nth }, { _id: name('f3'), state: 'open', trend: 'x', lastSeenAt: 'y' }],
    audit: [{ _id: name('a1') }, { _id: new ObjectId(), at: 'x' }],
    bulk: [
      { _id: new ObjectId(), state: 'running' },
      { _id: name('b2'), state: 'running' },
      { _id: new ObjectId(), state: 'stopping', command: 5, parts: 'x', next: -1, doing: 5 },
    ],
    taskLogs: [{ _id: name('l1') }, { _id: new ObjectId(), task: new ObjectId(), lines: 'x' }],
    throttles: [{ _id: 5 + nth }, { _id: `${task}\n${name('k')}`, until: 'x', task: 'y' }],
  }
}

const hex = (nth: number): string => nth.toString(16).padStart(4, '0')
