import { useDatabase } from '@taskfleet/testkit/use-database'
import { expect, test } from 'vitest'
import { type Waiting, WaitingSamples } from './waiting-samples.ts'

const database = useDatabase()
const MINUTE = 60_000
const START = Date.parse('2027-03-01T10:00:00Z')
const day = { since: new Date(START - 86_400_000), until: new Date(START + 86_400_000) }

function samples(): { samples: WaitingSamples; other: WaitingSamples; to: (ms: number) => void } {
  let now = START
  const clock = { now: () => new Date(now) }
  const [one, other] = [1, 2].map(() => new WaitingSamples(database.database.db, { clock }))
  return { samples: one!, other: other!, to: (ms) => (now = START + ms) }
}

const waiting = (count: number, oldestMs: number, attention = 0): Waiting => ({
  groups: count === 0 ? [] : [{ queue: 'default', name: 'scripted', count, oldestMs }],
  attention,
})

test('two processes take one sample of a minute', async () => {
  const { samples: first, other, to } = samples()
  to(20_000)
  const looks: string[] = []
  const look = (who: string) => async () => {
    looks.push(who)
    return waiting(3, 4_000)
  }
  expect(await Promise.all([first.take(look('first')), other.take(look('other'))])).toContain(true)
  expect(looks).toHaveLength(1)
  expect(await other.take(look('other'))).toBe(false)
  expect(await first.read('minute', day)).toMatchObject([{ at: new Date(START), count: 3, oldestMs: 4_000 }])
})

test('an hour has its fullest minute, the longest wait and the most attention', async () => {
  const { samples: one, to } = samples()
  for (const [minute, found] of [waiting(2, 9_000), waiting(5, 1_000, 2), waiting(0, 0, 1)].entries()) {
    to((120 + minute) * MINUTE)
    await one.take(async () => found)
  }
  const hours = await one.read('hour', { since: new Date(START + 120 * MINUTE), until: day.until })
  expect(hours).toMatchObject([{ count: 5, oldestMs: 9_000, attention: 2, groups: [{ count: 5 }] }])
})

test('a minute whose process ended while it looked has no sample', async () => {
  const { samples: one, to } = samples()
  to(300 * MINUTE)
  await expect(one.take(() => Promise.reject(new Error('cut off')))).rejects.toThrow('cut off')
  expect(await one.read('minute', { since: new Date(START + 300 * MINUTE), until: day.until })).toEqual([])
})

test('small groups are left out, but counted', async () => {
  const { samples: one, to } = samples()
  to(400 * MINUTE)
  const groups = Array.from({ length: 60 }, (_, index) => ({
    ...{ queue: 'default', name: `n${index}`, count: index + 1, oldestMs: 1_000 - index },
  }))
  await one.take(async () => ({ groups, attention: 0 }))
  const [sample] = await one.read('minute', { since: new Date(START + 400 * MINUTE), until: day.until })
  expect(sample).toMatchObject({ count: 1_830, oldestMs: 1_000 })
  expect(sample!.groups).toHaveLength(50)
  expect(sample!.groups[0]).toMatchObject({ name: 'n59' })
})
