import type { TaskDocument } from '@taskfleet/core'
import type { IfFailed } from '@taskfleet/protocol'
import fc from 'fast-check'
import { expect } from 'vitest'
import { compare } from './compare.ts'
import type { Coverage } from './coverage.ts'
import type { End } from './model-task.ts'
import type { Operation, World } from './operations.ts'
import * as operations from './operations.ts'

/** The state of each task at the last comparison. */
export interface Seen {
  documents: Map<string, TaskDocument>
  coverage: Coverage
}

/** How an operation is sent to the store: once, twice at the same time, or again because its answer was lost. */
type Delivery = 'once' | 'twice at once' | 'again'

/** Executes an operation, then compares every task of the run with the model. */
class Command implements fc.AsyncCommand<World, Seen> {
  readonly #operation: Operation
  readonly #delivery: Delivery

  constructor(operation: Operation, delivery: Delivery) {
    this.#operation = operation
    this.#delivery = operation.single ? 'once' : delivery
  }

  check(world: Readonly<World>): boolean {
    return this.#operation.can(world)
  }

  async run(world: World, seen: Seen): Promise<void> {
    const operation = this.#operation
    const sending = await operation.begin(world)
    seen.coverage.did(/^[\w-]+/.exec(operation.name)![0])
    if (this.#delivery === 'twice at once') {
      const answers = await Promise.all([sending.call(), sending.call()])
      const expected = [sending.expect(), sending.expect()]
      expect(answers.sort(), operation.name).toEqual(expected.sort())
      await look(world, seen, 2)
      return
    }
    for (let time = 0; time < (this.#delivery === 'again' ? 2 : 1); time += 1) {
      const answer = await sending.call()
      expect(answer, operation.name).toBe(sending.expect())
      await look(world, seen, 1)
    }
  }

  toString(): string {
    return this.#delivery === 'once' ? this.#operation.name : `${this.#operation.name} (${this.#delivery})`
  }
}

/** Compares all tasks, to find also a write to the wrong task. */
async function look(world: World, seen: Seen, steps: number): Promise<void> {
  const documents = await Promise.all(world.tasks.map(({ id }) => world.store.find(id)))
  world.tasks.forEach((task, index) => {
    const id = task.id.toHexString()
    const leases = world.claimed.get(id) ?? []
    expect(leases.length, 'a task is claimed by one at a time').toBe(task.attempt - task.leases.length)
    task.leases.push(...leases)
    const now = documents[index] ?? null
    compare(task, seen.documents.get(id) ?? null, now, steps)
    task.written = false
    if (now === null) return
    seen.documents.set(id, now)
    seen.coverage.reached(now.status)
  })
  world.claimed.clear()
}

const at = fc.nat({ max: 14 })
const whose = fc.oneof(
  { weight: 8, arbitrary: fc.constant('own' as const) },
  fc.constantFrom('old' as const, 'foreign' as const),
)
const seldom = <T>(arbitrary: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> =>
  fc.oneof({ weight: 3, arbitrary: fc.constant(undefined) }, arbitrary)
const minutes = fc.constantFrom(1, 2, 5, 20)
/** Mostly at once, so that most tasks run. */
const delay = fc.oneof({ weight: 4, arbitrary: fc.constant(0) }, fc.constantFrom(1, 5))
/** Tens of minutes, so that a tenth of them is whole. */
const deadline = fc.constantFrom(-10, 10, 20, 50)
const wish = fc.record(
  { priority: fc.integer({ min: 1, max: 10 }), maxAttempts: fc.constantFrom(1, 2, 3, 50), delay, deadline },
  { requiredKeys: ['priority', 'maxAttempts', 'delay'] },
)
const end = fc.record({
  verb: fc.constantFrom(
    'complete',
    'retry',
    'retry',
    'fail',
    'fail',
    'defer',
    'snooze',
    'release',
    'release',
    'suspend',
    'stop',
  ),
  delay,
  decay: fc.boolean(),
  counts: fc.constantFrom('every', 'without-progress'),
})
const ifFailed = fc.constantFrom<IfFailed>('fail', 'cancel', 'run', 'wait')
const predecessors = fc.uniqueArray(at, { minLength: 1, maxLength: 3 })
const follows = fc.record({ at: predecessors, ifFailed }, { requiredKeys: ['at'] })
const edits = fc
  .record(
    {
      priority: fc.integer({ min: 1, max: 10 }),
      delay,
      deadline: fc.option(deadline),
      maxAttempts: fc.constantFrom(1, 3, 50),
      input: fc.constantFrom({ edited: '$rev' }, null),
      queue: fc.constantFrom('', '-2'),
      after: fc.oneof(predecessors, fc.constant([])),
      ifFailed,
    },
    { requiredKeys: [] },
  )
  .filter((changes) => Object.keys(changes).length > 0)
const note = fc.constantFrom<unknown>({ at: 7 }, '$$ROOT', null, [1])

const operation: fc.Arbitrary<Operation> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc
      .tuple(wish, fc.option(follows, { nil: undefined }), fc.constantFrom('back', 'front'))
      .map((args) => operations.enqueue(...args)),
  },
  { weight: 1, arbitrary: fc.tuple(at, fc.boolean()).map((args) => operations.enqueueAgain(...args)) },
  {
    weight: 5,
    arbitrary: fc
      .tuple(wish, fc.constantFrom('reject', 'return', 'replace', 'replace'), seldom(fc.constantFrom(1, 5)))
      .map((args) => operations.enqueueKeyed(...args)),
  },
  {
    weight: 12,
    arbitrary: fc
      .tuple(
        fc.oneof(at, fc.constant('all' as const)),
        fc.oneof({ weight: 4, arbitrary: fc.constant(undefined) }, fc.constantFrom(0, 1)),
      )
      .map((args) => operations.claim(...args)),
  },
  { weight: 3, arbitrary: fc.tuple(at, whose).map((args) => operations.comeBack(...args)) },
  {
    weight: 2,
    arbitrary: fc.tuple(at, whose, fc.constantFrom(undefined, 0.5, 1)).map((args) => operations.report(...args)),
  },
  { weight: 2, arbitrary: fc.tuple(at, whose, note).map((args) => operations.saveCheckpoint(...args)) },
  { weight: 16, arbitrary: fc.tuple(at, whose, end, note).map((args) => operations.settle(...args)) },
  {
    weight: 4,
    arbitrary: fc
      .tuple(at, fc.constant('own' as const), fc.constant('as asked' as const), note)
      .map((args) => operations.settle(...args)),
  },
  { weight: 2, arbitrary: at.map((one) => operations.cancel(one)) },
  { weight: 3, arbitrary: at.map((one) => operations.pause(one)) },
  { weight: 3, arbitrary: at.map((one) => operations.resume(one)) },
  { weight: 6, arbitrary: at.map((one) => operations.rerun(one)) },
  {
    weight: 3,
    arbitrary: fc.tuple(at, edits, fc.constantFrom('any', 'current', 'stale')).map((args) => operations.edit(...args)),
  },
  { weight: 1, arbitrary: at.map((one) => operations.remove(one)) },
  { weight: 4, arbitrary: fc.tuple(at, minutes).map((args) => operations.advance(...args)) },
  { weight: 6, arbitrary: at.map(operations.lose) },
  { weight: 1, arbitrary: fc.constant(null).map(() => operations.reap()) },
  { weight: 3, arbitrary: fc.constant(null).map(() => operations.raiseDue()) },
  { weight: 3, arbitrary: fc.constant(null).map(() => operations.unblock()) },
  { weight: 1, arbitrary: at.map((one) => operations.corrupt(one)) },
  { weight: 1, arbitrary: fc.constant(null).map(() => operations.look()) },
)

const delivery = fc.oneof(
  { weight: 8, arbitrary: fc.constant('once' as const) },
  fc.constantFrom('twice at once' as const, 'again' as const),
)

const once = (list: readonly Operation[]): readonly (() => Command)[] =>
  list.map((one) => () => new Command(one, 'once'))

/** The start of every run: a task that may run, one that waits for it, and one with a deadline. */
export const FIRST = once([
  operations.enqueue({ priority: 5, maxAttempts: 3, delay: 0 }, undefined, 'back'),
  operations.enqueue({ priority: 9, maxAttempts: 1, delay: 0 }, { at: [0] }, 'back'),
  operations.enqueueKeyed({ priority: 2, maxAttempts: 2, delay: 0, deadline: 10 }, 'reject', undefined),
])

const [first, second, third, fourth, fifth] = [0, 3, 6, 9, 12] as const
const ends = (one: number, verb: End['verb']): Operation =>
  operations.settle(one, 'own', { verb, delay: 0, decay: true, counts: 'every' }, 'done')
const asAsked = (one: number): Operation => operations.settle(one, 'own', 'as asked', 'done')
const claims = (one: number): Operation => operations.claim(one)

const plain = { priority: 5, maxAttempts: 3, delay: 0 }

/** After `FIRST`, every verb at least once, since a few random runs may miss one. */
export const TOUR = once([
  ...[claims(first), ends(first, 'release'), claims(first), ends(first, 'snooze'), claims(first), ends(first, 'retry')],
  ...[claims(first), ends(first, 'defer')],
  ...[claims(first), operations.pause(first), asAsked(first), operations.resume(first), claims(first), asAsked(first)],
  ...[operations.unblock(), claims(second), ends(second, 'fail'), operations.rerun(second)],
  ...[claims(second), operations.cancel(second), asAsked(second), operations.rerun(second), operations.corrupt(second)],
  ...[operations.rerun(second), operations.cancel(second), operations.remove(second)],
  ...[operations.pause(third), operations.resume(third), operations.advance(third, 20), operations.raiseDue()],
  ...[claims(third), operations.lose(third), operations.comeBack(third, 'own')],
  ...[1, 2, 3].flatMap(() => [claims(third), operations.lose(third), operations.advance(third, 1)]),
  // The third has failed: the task that waits for it fails, and waits again when it is retried.
  ...[operations.enqueue(plain, { at: [third] }, 'back'), operations.rerun(fourth), operations.rerun(third)],
  ...[operations.edit(fourth, { after: [] }, 'any'), operations.edit(fourth, { after: [third] }, 'any')],
  ...[operations.enqueue(plain, { at: [fourth], ifFailed: 'cancel' }, 'back'), operations.cancel(fourth)],
  operations.edit(third, { after: [fifth] }, 'any'),
])

/** The operations of a run, in any order. */
export const command: fc.Arbitrary<fc.AsyncCommand<World, Seen>> = fc
  .tuple(operation, delivery)
  .map(([one, how]) => new Command(one, how))
