import { ownQueue } from '@taskfleet/testkit/fleet/test-sockets'
import { useFleet } from '@taskfleet/testkit/fleet/use-fleet'
import { expect, test } from 'vitest'

const fleet = useFleet()
const operations = () => fleet.fleet.as()

test('a schedule is made or replaced exactly as given', async () => {
  const { schedules } = operations()
  const name = ownQueue()
  const first = await schedules.replace({
    name,
    schedule: { task: 'report', every: '1h', missed: 'skip', options: { priority: 9, queue: 'reports' } },
  })
  expect(first).toMatchObject({ _id: name, every: 3_600_000, missed: 'skip', edition: 1 })
  const second = await schedules.replace({ name, schedule: { task: 'report', cron: '0 3 * * *' }, edition: 1 })
  expect(second).toMatchObject({ cron: '0 3 * * *', missed: 'latest', options: { queue: 'default' }, edition: 2 })
  expect(second.every).toBeUndefined()
  expect(second.options.priority).toBeUndefined()
  const stale = schedules.replace({ name, schedule: { task: 'report', every: '1h' }, edition: 1 })
  await expect(stale).rejects.toMatchObject({ code: 'REV_CONFLICT' })
  await expect(schedules.replace({ name, schedule: { task: 'report' } })).rejects.toMatchObject({ code: 'BAD_REQUEST' })
  const limited = fleet.fleet.as({ id: 'k', scopes: ['control'], queues: ['mine'] })
  const theirs = { name, schedule: { task: 'report', every: '1h', options: { queue: 'mine' } } } as const
  await expect(limited.schedules.replace(theirs)).rejects.toMatchObject({ code: 'NOT_FOUND' })
})

test('a callback is made or replaced exactly as given', async () => {
  const { callbacks } = operations()
  const id = '6b0c0c1b1e4d60611a154379'
  const made = await callbacks.replace({
    id,
    callback: { event: 'Put', task: 'a', version: 3, defaults: { lazy: true } },
  })
  expect(made).toMatchObject({ _id: id, version: 3, defaults: { lazy: true }, rev: 1 })
  const replaced = await callbacks.replace({ id, callback: { event: 'Put', task: 'b' }, rev: 1 })
  expect(replaced).toMatchObject({ task: 'b', version: 1, defaults: {}, rev: 2 })
  const stale = callbacks.replace({ id, callback: { event: 'Put', task: 'c' }, rev: 1 })
  await expect(stale).rejects.toMatchObject({ code: 'REV_CONFLICT' })
  expect((await callbacks.list({ event: 'Put' })).map(({ task }) => task)).toEqual(['b'])
})

test('a queue gets exactly the given settings', async () => {
  const { queues } = operations()
  const name = ownQueue()
  await queues.limit({ name, limits: { concurrency: 3, maxWaiting: 10 } })
  const replaced = await queues.replace({
    name,
    settings: { paused: true, rate: { limit: 5, per: '1m' } },
    reason: 'put',
  })
  expect(replaced).toMatchObject({ paused: true, rate: { limit: 5, per: 60_000 }, reason: 'put' })
  expect([replaced.concurrency, replaced.maxWaiting]).toEqual([undefined, undefined])
  const wrong = queues.replace({ name, settings: { concurrency: 0 } })
  await expect(wrong).rejects.toMatchObject({ code: 'OUT_OF_RANGE', field: 'concurrency' })
  expect(await queues.replace({ name, settings: {} })).toMatchObject({ paused: false })
})
