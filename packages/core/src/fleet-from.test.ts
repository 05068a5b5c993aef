import { useDatabase } from '@taskfleet/testkit/use-database'
import mongoose, { type Connection, mongo } from 'mongoose'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { z } from 'zod'
import { Fleet } from './fleet.ts'

const db = useDatabase()
const invoice = { name: 'invoice', version: 1, input: z.object({ order: z.string() }) }
let connection: Connection
beforeAll(async () => {
  // As a program might, without majority options.
  connection = await mongoose.createConnection(db.uri, { writeConcern: { w: 1 } }).asPromise()
})
afterAll(() => connection.close())

describe('a fleet on the connection of a program', () => {
  test('stores a task in the same transaction as its data: both are stored, or neither', async () => {
    const Order = connection.model('Order', new mongoose.Schema({ name: String }))
    await Order.createCollection()
    const fleet = await Fleet.from(connection)
    const order = (name: string, fails: boolean): Promise<unknown> =>
      connection.transaction(async (session) => {
        await Order.create([{ name }], { session })
        await fleet.enqueue(invoice, { order: name }, { queue: 'orders', session })
        if (fails) throw new Error('the card was refused')
      })
    await expect(order('lost', true)).rejects.toThrow('the card was refused')
    expect(await Order.countDocuments()).toBe(0)
    expect(await fleet.tasks.countDocuments({ queue: 'orders' })).toBe(0)
    await order('kept', false)
    expect(await Order.find().lean()).toMatchObject([{ name: 'kept' }])
    expect(await fleet.tasks.find({ queue: 'orders' }).toArray()).toMatchObject([
      { input: { order: 'kept' }, status: 'pending' },
    ])
    await fleet.close()
    // The given connection stays open.
    expect(await Order.countDocuments()).toBe(1)
  })

  test('works with a client and the name of a database', async () => {
    const client = await mongo.MongoClient.connect(db.uri)
    const name = new URL(db.uri).pathname.slice(1)
    const fleet = await Fleet.from(client, { database: name })
    expect(fleet.database.db.databaseName).toBe(name)
    const { _id } = await fleet.enqueue(invoice, { order: 'one' })
    expect(await fleet.control().cancel({ id: _id.toHexString() })).toMatchObject({ changed: 1 })
    await fleet.close()
    expect(await client.db(name).collection('tasks').countDocuments({ _id })).toBe(1)
    await client.close()
  })

  test('writes with a majority, even if its client does not', async () => {
    const client = await mongo.MongoClient.connect(db.uri, { writeConcern: { w: 1 }, monitorCommands: true })
    const concerns = new Set<unknown>()
    client.on('commandStarted', ({ commandName, command }) => {
      if (/^(insert|update|findAndModify)$/.test(commandName))
        concerns.add((command as { writeConcern?: { w?: unknown } }).writeConcern?.w)
    })
    const fleet = await Fleet.from(client, { database: new URL(db.uri).pathname.slice(1) })
    concerns.clear()
    await fleet.enqueue(invoice, { order: 'two' })
    expect([...concerns]).toEqual(['majority'])
    await client.close()
  })

  test('rejects unsuitable clients', async () => {
    await expect(Fleet.from({} as never)).rejects.toMatchObject({ code: 'FOREIGN_DRIVER' })
    const client = await mongo.MongoClient.connect(db.uri, { retryWrites: false })
    await expect(Fleet.from(client)).rejects.toMatchObject({ code: 'NEEDS_MAJORITY', field: 'retryWrites' })
    await client.close()
  })
})
