import type { Fleet } from '@taskfleet/core'
import type { Doc } from '@taskfleet/core/internal'
import type { mongo } from 'mongoose'
import { expect } from 'vitest'
import { malformedDocuments } from './malformed.ts'

/**
 * Stores invalid documents in every collection except tasks, each kind several times, beside valid ones. Then everything
 * that reads them must return the valid ones. @returns how many invalid ones there are in each collection
 */
export async function passedOver(fleet: Fleet, db: mongo.Db, times: number): Promise<Record<string, number>> {
  const made = new Map<string, Doc[]>()
  for (let nth = 0; nth < times; nth += 1) {
    for (const [name, docs] of Object.entries(malformedDocuments('test', nth))) {
      made.set(name, [...(made.get(name) ?? []), ...docs])
    }
  }
  for (const [name, docs] of made) await db.collection<Doc>(name).insertMany(docs as never)
  const schedules = fleet.schedulesFor()
  await schedules.create({ _id: 'good', task: 'test', every: '1h' })
  const before = new Date(Date.now() - 1_000)
  await db.collection<{ _id: string }>('schedules').updateOne({ _id: 'good' }, { $set: { nextAt: before } })
  const { due } = await fleet.schedules.due()
  expect(due.map(({ _id }) => _id)).toEqual(['good'])
  expect((await schedules.list()).map(({ _id }) => _id)).toContain('good')
  await fleet.eventsFor().createCallback({ event: 'Listened', task: 'test' })
  expect((await fleet.eventsFor().post({ name: 'Listened' })).tasks).toHaveLength(1)
  await fleet.events.sweep()
  expect((await fleet.eventsFor().list({ name: 'Listened' })).map(({ name }) => name)).toEqual(['Listened'])
  expect(await fleet.workers.list()).toEqual([])
  expect(await fleet.workers.live()).toEqual([])
  const queues = await fleet.queues.list()
  expect(
    queues.every(({ _id, paused, concurrency, rate }) => typeof _id === 'string' && !paused && !concurrency && !rate),
  ).toBe(true)
  expect(await fleet.keysFor().list()).toEqual([])
  expect(await fleet.errors.list()).toEqual([])
  const deeds = (await fleet.audit.list()).map(({ action }) => action)
  expect(deeds.sort()).toEqual(['callback create', 'schedule create'])
  await fleet.survey()
  const counts = Object.fromEntries([...made].map(([name, docs]) => [name, docs.length]))
  await expect
    .poll(() => db.collection('setAside').countDocuments(), { timeout: 60_000 })
    .toBeGreaterThanOrEqual(
      Math.min(
        1_000,
        Object.values(counts).reduce((sum, count) => sum + count, 0),
      ),
    )
  return counts
}
