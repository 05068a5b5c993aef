import { useDatabase } from '@taskfleet/testkit/use-database'
import { beforeAll, expect, test } from 'vitest'
import { LOCAL } from '../auth/key-store.ts'
import { Fleet } from '../fleet.ts'

const db = useDatabase()
let fleet: ReturnType<Fleet['as']>
beforeAll(() => {
  fleet = new Fleet(db.database).as(LOCAL)
})

const budget = {
  retry: { maxAttempts: 8, counts: 'without-progress', backoff: { base: '5s' } },
  timeout: '10m',
  totalTimeout: '2h',
  stall: '90s',
} as const
const stored = {
  maxAttempts: 8,
  retry: { counts: 'without-progress', backoff: { base: 5_000 } },
  timeout: 600_000,
  totalTimeout: 7_200_000,
  stall: 90_000,
}

test('the tasks of a schedule have its budget in place of their handler', async () => {
  const schedule = await fleet.schedules.create({ _id: 'nightly', task: 'test', every: '1h', options: budget })
  expect(schedule.options).toEqual({ queue: 'default', ...stored })
  expect(await fleet.schedules.run('nightly')).toMatchObject(stored)
  const changes = { options: { retry: null, stall: null, timeout: '1m' } } as never
  const edited = await fleet.schedules.edit({ name: 'nightly', changes })
  expect(edited.options).toEqual({ queue: 'default', maxAttempts: 8, timeout: 60_000, totalTimeout: 7_200_000 })
  const task = await fleet.schedules.run('nightly')
  expect(task).toMatchObject({ maxAttempts: 8, timeout: 60_000, totalTimeout: 7_200_000 })
  expect(task).not.toHaveProperty('retry')
  expect(task).not.toHaveProperty('stall')
})

test('so have the tasks of a callback', async () => {
  const callback = await fleet.callbacks.create({ event: 'Came', task: 'test', defaults: budget })
  expect(callback.defaults).toEqual(stored)
  const { tasks } = await fleet.events.post({ name: 'Came' })
  expect(await fleet.tasks.show(tasks[0]!)).toMatchObject(stored)
  const changes = { defaults: { ...callback.defaults, retry: null } } as never
  expect((await fleet.callbacks.edit({ id: callback._id, changes })).defaults).not.toHaveProperty('retry')
})

test.each([
  [{ stall: '0s' }, 'options.stall'],
  [{ timeout: 'soon' }, 'options.timeout'],
  [{ retry: { maxAttempts: 0 } }, 'options.retry.maxAttempts'],
  [{ retry: { tries: 3 } }, 'options.retry.tries'],
])('%j is refused with its path', async (options, field) => {
  const wrong = fleet.schedules.create({ _id: 'wrong', task: 'test', every: '1h', options: options as never })
  await expect(wrong).rejects.toMatchObject({ field })
})
