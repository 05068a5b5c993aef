import type { TaskStatus } from '@taskfleet/protocol'
import { mongo } from 'mongoose'
import { describe, expect, test } from 'vitest'
import * as attemptUpdates from './attempt-updates.ts'
import * as dependencyUpdates from './dependency-updates.ts'
import { OTHER_WRITES, TRANSITIONS, type Transition, type Verb, WRITES } from './lifecycle.ts'
import { type NewTask, parseChanges, parseNewTask } from './new-task.ts'
import { Outcome } from './task-store.ts'
import * as taskUpdates from './task-updates.ts'

type Pipeline = mongo.Document[]

const updates = { ...taskUpdates, ...attemptUpdates }

const NOW = new Date(0)
const id = new mongo.ObjectId()
const error = { code: 'TEST', name: 'Error', message: 'no', fingerprint: 'test' }
const retention = { completed: 1, failed: 2, cancelled: 3 } as const
const progress = { ratio: 0.5, at: NOW }
const known = { completed: [id], forgiven: [] }
const place = { front: NOW, blocked: false, completed: [id], leadMs: 5 }
const claimant = {
  worker: 'w',
  host: 'fra-1',
  slot: 'q\n1',
  notAfter: NOW,
  publicBase: 'http://worker:1',
  places: ['disk-a'],
}
const signature = 'k:0::x'
const control = (action: 'cancel' | 'pause') => ({ action, by: 'ann', reason: 'because' })
/** A request with every field. */
const full: NewTask = parseNewTask({
  name: 'test',
  input: {},
  runAt: NOW.toISOString(),
  deadline: '2999-01-01T00:00:00Z',
  position: 'front',
  retry: { maxAttempts: 3, decay: false },
  timeout: 1_000,
  totalTimeout: 1_000,
  stall: 1_000,
})
const changes = parseChanges({
  priority: 3,
  runAt: NOW.toISOString(),
  deadline: '2999-01-01T00:00:00Z',
  queue: 'other',
  lazy: true,
  input: {},
  position: 'front',
  retry: { maxAttempts: 3, decay: false },
  timeout: 1_000,
  totalTimeout: null,
  stall: null,
  title: 'Nightly import',
  labels: null,
})
const settled = (outcome: Outcome): Pipeline => updates.settle(outcome, retention, { progress, naming })
const reaped = [updates.reap(retention, 'gone'), updates.reap(retention, 'gone', { dated: true })]

const naming = { title: 'Nightly import', labels: { tenant: 'acme' } }

/** The update pipelines of each verb. */
const PIPELINES: Record<Verb, Pipeline[]> = {
  claim: [updates.claim('lease', claimant), updates.claim('lease', { worker: 'w', host: 'fra-1' })],
  complete: [
    settled(Outcome.completed(1)),
    updates.completeAll([id], [1], retention),
    updates.completeAll([id, id], [1, 2], retention, [{ progress, naming }, {}]),
  ],
  retry: [
    settled(Outcome.retry(error, 1)),
    settled(Outcome.retry(error, 1, { decay: false, counts: 'without-progress' })),
  ],
  fail: [settled(Outcome.failed(error))],
  defer: [settled(Outcome.deferred(error, 1))],
  snooze: [settled(Outcome.snoozed(1))],
  release: [settled(Outcome.released()), settled(Outcome.released(1))],
  suspend: [settled(Outcome.suspended())],
  stop: [settled(Outcome.stopped())],
  reclaim: reaped,
  expire: reaped,
  quarantine: [updates.quarantine(retention, 'odd')],
  pause: [updates.asked(control('pause'), retention)],
  resume: [updates.resume()],
  cancel: [updates.asked(control('cancel'), retention)],
  unblock: [
    dependencyUpdates.unblock(known),
    dependencyUpdates.waitFor({ after: [], ifFailed: undefined, known, status: TRANSITIONS.unblock.to }),
  ],
  abandon: [dependencyUpdates.giveUp('abandon', error, retention)],
  skip: [dependencyUpdates.giveUp('skip', error, retention)],
  block: [
    [...updates.resume(), ...dependencyUpdates.block('block', known)],
    dependencyUpdates.waitFor({ after: [id], ifFailed: 'run', known, status: TRANSITIONS.block.to }),
  ],
  rerun: [[...updates.rerun(), ...updates.sign(signature)]],
  rewait: [[...updates.rerun(), ...updates.sign(signature), ...dependencyUpdates.block('rewait', known)]],
}

const OTHERS: Record<keyof typeof OTHER_WRITES, Pipeline[]> = {
  report: [updates.report({ progress, naming }), updates.report({})],
  checkpoint: [updates.checkpoint({ at: 1 })],
  takeBackLoss: [updates.takeBackLoss('lease')],
  raise: [updates.raise()],
  edit: [
    [...updates.edit(changes, place), ...updates.sign(signature)],
    updates.edit(parseChanges({ deadline: null, position: 'back' }), place),
  ],
  replace: [updates.replace(full, place, signature), updates.replace(parseNewTask({ name: 'test' }), place)],
  noteCompleted: [dependencyUpdates.noteCompleted([id])],
}

/** The fields that a stage sets or removes. */
function fieldsOf(stage: mongo.Document): string[] {
  if ('$unset' in stage) return [stage.$unset].flat() as string[]
  if ('$replaceWith' in stage) return Object.keys(merged(stage.$replaceWith) ?? {})
  return Object.keys(stage.$set as object)
}

/** The object that `{ $mergeObjects: ['$$ROOT', … ] }` adds to the task, at any depth. */
function merged(expression: unknown): object | undefined {
  if (typeof expression !== 'object' || expression === null) return undefined
  const { $mergeObjects } = expression as { $mergeObjects?: unknown[] }
  if ($mergeObjects?.[0] === '$$ROOT') return $mergeObjects[1] as object
  for (const part of Object.values(expression)) {
    const found = merged(part)
    if (found !== undefined) return found
  }
  return undefined
}

/** The fields that a pipeline changes, without its temporary ones. */
function writes(pipeline: Pipeline): string[] {
  const last = pipeline.at(-1)!
  const own = '$unset' in last ? fieldsOf(last).filter((field) => ['before', 'applies'].includes(field)) : []
  return [...new Set(pipeline.flatMap(fieldsOf))].filter((field) => !own.includes(field))
}

/** The possible results of a status expression; `$status` is the previous status. */
function results(expression: unknown): string[] {
  if (typeof expression === 'string') return [expression]
  const { $cond, $switch } = expression as {
    $cond?: unknown[]
    $switch?: { branches: { then: unknown }[]; default: unknown }
  }
  if ($cond !== undefined) return $cond.slice(1).flatMap(results)
  if ($switch !== undefined) return [...$switch.branches.map(({ then }) => then), $switch.default].flatMap(results)
  throw new TypeError(`a status by ${JSON.stringify(expression)}`)
}

/** The statuses to which a pipeline may lead. */
function leadsTo(pipeline: Pipeline): string[] {
  const stages = pipeline.map((stage) => ({ ...(stage.$set as object), ...merged(stage.$replaceWith) }))
  const last = stages.filter((stage): stage is { status: unknown } => 'status' in stage).at(-1)
  return last === undefined ? [] : results(last.status).filter((status) => status !== '$applies')
}

describe('the writes of a verb', () => {
  test.each(Object.keys(PIPELINES) as Verb[])('%s changes no field but those of the table', (verb) => {
    const may = WRITES[verb]
    for (const pipeline of PIPELINES[verb]) {
      if (may === 'everything') return
      const others = writes(pipeline).filter((field) => !['status', 'rev', 'updatedAt', ...may].includes(field))
      expect(others).toEqual([])
    }
  })

  test.each(Object.keys(PIPELINES) as Verb[])('%s leads where the table says', (verb) => {
    const { to, or = [] }: Transition = TRANSITIONS[verb]
    for (const pipeline of PIPELINES[verb]) {
      // A running task stays running after a request, and a dated lease stays valid until its date.
      const stays = ['cancel', 'pause', 'resume', 'reclaim', 'expire'].includes(verb) ? ['$status'] : []
      const reached = leadsTo(pipeline)
      expect(reached).toContain(to)
      expect(reached.filter((status) => ![to, ...or, ...stays].includes(status as TaskStatus))).toEqual([])
    }
    for (const status of or) expect(PIPELINES[verb].flatMap(leadsTo)).toContain(status)
  })

  test('the table names no field that its verb never writes', () => {
    const idle = (Object.keys(PIPELINES) as Verb[]).flatMap((verb) => {
      const may = WRITES[verb]
      const does = PIPELINES[verb].flatMap(writes)
      return may === 'everything'
        ? []
        : may.filter((field) => !does.includes(field)).map((field) => `${verb}: ${field}`)
    })
    expect(idle).toEqual([])
  })

  test('the writes that end an attempt remove its holder', () => {
    for (const [verb, { closes }] of Object.entries(TRANSITIONS as Record<string, Transition>)) {
      if (closes === undefined) continue
      for (const pipeline of PIPELINES[verb as Verb])
        expect(writes(pipeline)).toEqual(expect.arrayContaining(['lease', 'slot']))
    }
  })
})

describe('a write that is not a transition', () => {
  test.each(Object.keys(OTHERS) as (keyof typeof OTHER_WRITES)[])(
    '%s changes its own fields, never the status',
    (name) => {
      const may: readonly string[] = OTHER_WRITES[name]
      const does = OTHERS[name].flatMap(writes)
      expect(does.filter((field) => !['rev', 'updatedAt', ...may].includes(field))).toEqual([])
      expect(may.filter((field) => !does.includes(field))).toEqual([])
      expect(does).not.toContain('status')
    },
  )

  test('every update is in one of the lists', () => {
    const others = ['enqueue', 'isPlain', 'newDocument', 'throttle']
    const builders = [...Object.keys(updates), ...Object.keys(dependencyUpdates)].filter(
      (name) => !others.includes(name),
    )
    const listed = [
      ...Object.keys(OTHER_WRITES),
      'claim',
      'settle',
      'completeAll',
      'reap',
      'quarantine',
      'asked',
      'resume',
    ]
    expect(
      builders.filter((name) => ![...listed, 'rerun', 'sign', 'unblock', 'giveUp', 'block', 'waitFor'].includes(name)),
    ).toEqual([])
  })
})
