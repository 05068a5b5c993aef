import { useDatabase } from '@taskfleet/testkit/use-database'
import { mongo } from 'mongoose'
import { expect, test } from 'vitest'
import { ChangeFeed } from '../live/change-feed.ts'
import { CausalReads } from './causal-reads.ts'

const held = useDatabase()

test('a read includes the latest observed change, on any server', async () => {
  const client = new mongo.MongoClient(held.uri, { monitorCommands: true })
  const asked: (mongo.Timestamp | undefined)[] = []
  client.on('commandStarted', ({ commandName, command }) => {
    if (commandName === 'find')
      asked.push((command.readConcern as { afterClusterTime?: mongo.Timestamp })?.afterClusterTime)
  })
  const tasks = client.db(held.database.db.databaseName).collection('tasks')
  const session = client.startSession()
  await tasks.insertOne({}, { session })
  const { operationTime, clusterTime } = session
  const causal = new CausalReads(client)
  causal.saw(operationTime, clusterTime)
  await causal.read((within) => tasks.find({}, { session: within }).toArray())
  expect(asked).toHaveLength(1)
  expect(asked[0]!.greaterThanOrEqual(operationTime!)).toBe(true)
  await session.endSession()
  await client.close()
})

test('a later time counts, and an earlier one does not replace it', async () => {
  const causal = new CausalReads(held.database.connection.getClient())
  const [early, late] = [new mongo.Timestamp({ t: 1, i: 1 }), new mongo.Timestamp({ t: 1, i: 2 })]
  causal.saw(late)
  causal.saw(early)
  const seen = await causal.read(async (session) => session.operationTime)
  expect(seen!.equals(late)).toBe(true)
})

test("a change's time is known before its listeners are notified", async () => {
  const feed = new ChangeFeed(held.database)
  await feed.start()
  const known = new Promise<mongo.Timestamp | undefined>((resolve) => {
    feed.subscribe({
      change: () => void held.database.causal.read(async (session) => resolve(session.operationTime)),
      lost: () => undefined,
    })
  })
  const writer = held.database.connection.getClient().startSession()
  await held.database.db.collection('tasks').insertOne({ rev: 1 }, { session: writer })
  expect((await known)!.greaterThanOrEqual(writer.operationTime!)).toBe(true)
  await writer.endSession()
  await feed.stop()
})
