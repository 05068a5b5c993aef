import { Fleet } from '@taskfleet/core'
import { MONGOD, mongodTitle, ReplicaSet } from '@taskfleet/testkit/replica-set'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { z } from 'zod'
import { defineTask } from '../define-task.ts'
import { TaskRunner } from '../task-runner.ts'

const ROOT = { user: 'root', password: 'p/w:@1' }
const WRITER = { user: 'writer', password: 'w' }
const READER = { user: 'reader', password: 'r' }

describe.skipIf(MONGOD === undefined)(
  mongodTitle('a set whose users have the least rights'),
  { timeout: 300_000 },
  () => {
    let set: ReplicaSet

    beforeAll(async () => {
      set = await ReplicaSet.start({ root: ROOT })
      await set.asRoot(async (client) => {
        const admin = client.db('admin')
        const role = (name: string) => [{ role: name, db: 'taskfleet' }]
        await admin.command({ createUser: WRITER.user, pwd: WRITER.password, roles: role('readWrite') })
        await admin.command({ createUser: READER.user, pwd: READER.password, roles: role('read') })
      })
    }, 300_000)
    afterAll(() => set?.stop())

    test('readWrite on one database is enough for a worker, though its user signs in at another', async () => {
      const uri = set.uriFor(WRITER, 'admin')
      const quick = defineTask({ name: 'quick', input: z.object({}), run: () => 'done' })
      const runner = new TaskRunner({ mongo: uri, tasks: [quick], listen: { host: '127.0.0.1', port: 0 } })
      await runner.start()
      const fleet = await Fleet.connect(uri)
      expect(fleet.database.db.databaseName).toBe('taskfleet')
      const { _id } = await fleet.enqueue(quick, {})
      await vi.waitFor(async () => expect((await fleet.store.find(_id))?.status).toBe('completed'), 30_000)
      await fleet.close()
      await runner.stop()
    })

    test('a user with `read` can list, and the error of a write names the missing right', async () => {
      const fleet = await Fleet.connect(set.uriFor(READER, 'admin'))
      expect(await fleet.control().coverage()).toBeInstanceOf(Array)
      await expect(fleet.control().enqueue({ name: 'x' })).rejects.toMatchObject({
        code: 'DATABASE_FORBIDDEN',
        message: expect.stringContaining('readWrite'),
      })
      await fleet.close()
    })

    test('a worker of a user who may only read does not start', async () => {
      const quick = defineTask({ name: 'quick', input: z.object({}), run: () => 'done' })
      const runner = new TaskRunner({ mongo: set.uriFor(READER, 'admin'), tasks: [quick] })
      await expect(runner.start()).rejects.toMatchObject({ code: 'DATABASE_FORBIDDEN' })
    })

    test('a wrong password is reported as such', async () => {
      const wrong = { ...WRITER, password: 'wrong' }
      await expect(Fleet.connect(set.uriFor(wrong, 'admin'))).rejects.toMatchObject({ code: 'DATABASE_FORBIDDEN' })
    })
  },
)
