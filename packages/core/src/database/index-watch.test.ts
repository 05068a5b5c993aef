import { newTask } from '@taskfleet/testkit/task-factory'
import { useDatabase } from '@taskfleet/testkit/use-database'
import { describe, expect, test } from 'vitest'
import { Fleet } from '../fleet.ts'
import { indexLabel } from './indexes.ts'

const held = useDatabase()
const fleet = async (): Promise<Fleet> => {
  const made = new Fleet(held.database)
  await held.database.ensureIndexes()
  return made
}
const names = async ({ tasks }: Fleet): Promise<string[]> => (await tasks.indexes()).map(({ name }) => String(name))

describe('F38: indexes under a running fleet', () => {
  test('that all exist are left alone', async () => {
    const { indexes } = await fleet()
    expect(await indexes.look()).toEqual({ missing: [], stillMissing: [], duplicates: [] })
  })

  test('a dropped index is built again', async () => {
    const here = await fleet()
    await here.tasks.dropIndex('open_key_in_queue')
    const { missing, stillMissing } = await here.indexes.look()
    expect([missing.map(indexLabel), stillMissing]).toEqual([['tasks.open_key_in_queue'], []])
    expect(await names(here)).toContain('open_key_in_queue')
  })

  test('after the collection was dropped, there are never two open tasks with one key', async () => {
    const here = await fleet()
    const before = (await names(here)).sort()
    await here.tasks.drop()
    here.indexes.doubt()
    await here.store.enqueue([newTask({ key: 'once' })])
    await expect(here.store.enqueue([newTask({ key: 'once' })])).rejects.toMatchObject({ code: 'KEY_EXISTS' })
    expect((await names(here)).sort()).toEqual(before)
  })

  test('an index that is blocked by duplicate keys rejects new keys and names the tasks', async () => {
    const here = await fleet()
    await here.tasks.dropIndex('open_key_in_queue')
    const [one, two] = await here.store.enqueue([newTask(), newTask()])
    await here.tasks.updateMany({ _id: { $in: [one!._id, two!._id] } }, { $set: { key: 'twice' } })
    here.indexes.doubt()
    const refused = expect.objectContaining({
      code: 'KEYS_NOT_UNIQUE',
      message: expect.stringContaining(`'twice' (${one!._id.toHexString()}, ${two!._id.toHexString()})`),
    })
    await expect(here.store.enqueue([newTask({ key: 'other' })])).rejects.toEqual(refused)
    // Tasks without a key are stored, and a new process can start.
    await here.store.enqueue([newTask()])
    await fleet()
    await here.store.cancel(two!._id, 'test')
    here.indexes.doubt()
    await here.store.enqueue([newTask({ key: 'other' })])
    expect(await names(here)).toContain('open_key_in_queue')
  })
})
