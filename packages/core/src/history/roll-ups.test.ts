import { useDatabase } from '@taskfleet/testkit/use-database'
import { beforeEach, describe, expect, test } from 'vitest'
import { bucketOf, quantile } from './buckets.ts'
import { type End, RollUps, UNIT_MS } from './roll-ups.ts'

const held = useDatabase()
/** Not in the past, since the server removes old rows. */
const HOUR = new Date(Math.ceil(Date.now() / UNIT_MS.hour) * UNIT_MS.hour)
const MINUTE = new Date(HOUR.getTime() + 34 * UNIT_MS.minute)
const AT = new Date(MINUTE.getTime() + 56_000)
const EVER = { since: new Date(0), until: new Date('2100-01-01') }
const DONE: End = { queue: 'q', name: 'n', host: 'h', outcome: 'completed', status: 'completed', waitMs: 3, runMs: 40 }
const warnings: unknown[] = []
const log = { warn: (said: unknown) => warnings.push(said) } as never

beforeEach(async () => {
  await held.database.db.collection('stats').deleteMany({})
  warnings.length = 0
})

const rollUps = (now = (): Date => AT): RollUps => new RollUps(held.database.db, { clock: { now }, log })

describe('what happened in a minute and an hour', () => {
  test('is added to the same row by every process', async () => {
    const [one, other] = [rollUps(), rollUps()]
    for (const each of [one, one, other]) each.note(DONE)
    await Promise.all([one.flush(), other.flush()])
    one.note({ ...DONE, waitMs: 700, runMs: undefined as never })
    await one.flush()
    const [minute] = await one.read('minute', EVER)
    expect(minute).toMatchObject({ at: MINUTE, queue: 'q', name: 'n', host: 'h', count: 4, waitMs: 709, runMs: 120 })
    expect(minute!.wait[bucketOf(3)]).toBe(3)
    expect(minute!.wait[bucketOf(700)]).toBe(1)
    expect(minute!.run[bucketOf(40)]).toBe(3)
    expect(await one.read('hour', EVER)).toEqual([{ ...minute, at: HOUR }])
  })

  test('has a row for each queue, name, host, outcome and status', async () => {
    const here = rollUps()
    const others: Partial<End>[] = [
      {},
      { queue: 'other' },
      { name: 'other' },
      { host: 'other' },
      { outcome: 'failed', status: 'pending' },
      { outcome: 'failed', status: 'failed' },
    ]
    for (const other of others) here.note({ ...DONE, ...other })
    await here.flush()
    expect(await here.read('minute', EVER)).toHaveLength(others.length)
  })

  test('is the minute of the end, not of the write, and a reader asks for a part of the time', async () => {
    let now = AT
    const here = rollUps(() => now)
    here.note(DONE)
    now = new Date(AT.getTime() + 60_000)
    here.note(DONE)
    await here.flush()
    const next = new Date(MINUTE.getTime() + 60_000)
    expect((await here.read('minute', EVER)).map(({ at }) => at)).toEqual([MINUTE, next])
    expect(await here.read('minute', { since: MINUTE, until: next })).toHaveLength(1)
    expect(await here.read('hour', EVER)).toMatchObject([{ count: 2 }])
  })

  test.each(['a.b', '$set', '$$NOW', '__proto__', 'ключ', '{"$gt":1}', 'a b\tc'])(
    'may have the queue and name %j',
    async (text) => {
      const here = rollUps()
      here.note({ ...DONE, queue: text, name: text })
      await here.flush()
      expect(await here.read('minute', EVER)).toMatchObject([{ queue: text, name: text, count: 1 }])
    },
  )

  test('is limited to what a key may see', async () => {
    const here = rollUps()
    here.note(DONE)
    here.note({ ...DONE, queue: 'secret' })
    await here.flush()
    expect(await here.read('hour', EVER, { queue: { $in: ['q'] } })).toMatchObject([{ queue: 'q' }])
  })

  test('goes on after a row that was edited by hand', async () => {
    const here = rollUps()
    const rows = held.database.db.collection('stats')
    here.note(DONE)
    await here.flush()
    await rows.updateMany({}, { $set: { count: 'many' } })
    here.note(DONE)
    here.note({ ...DONE, queue: 'other' })
    await here.flush()
    expect(await here.read('minute', EVER)).toMatchObject([{ queue: 'other', count: 1 }])
    expect(warnings).toHaveLength(1)
  })
})

test('ends that can not be stored are stored later, with the ones of the meantime', async () => {
  const { db } = held.database
  let down = true
  const flaky = new Proxy(db.collection('stats'), {
    get: (rows, method) =>
      method === 'bulkWrite' && down
        ? () => Promise.reject(new Error('away'))
        : (Reflect.get(rows, method) as () => unknown).bind?.(rows),
  })
  const here = new RollUps({ collection: () => flaky } as never, { clock: { now: () => AT }, log })
  here.note(DONE)
  await here.flush()
  here.note(DONE)
  down = false
  await here.flush()
  expect(await here.read('minute', EVER)).toMatchObject([{ count: 2, runMs: 80 }])
})

test('quantiles come from buckets', () => {
  expect(quantile([], 0.5)).toBeUndefined()
  const counts = Array.from({ length: 25 }, () => 0)
  counts[bucketOf(15)] = 10
  expect(quantile(counts, 0.5)).toBe(15)
  expect(quantile(counts, 1)).toBe(20)
  counts[bucketOf(1e9)] = 90
  expect(quantile(counts, 0.99)).toBe(5e7)
})
