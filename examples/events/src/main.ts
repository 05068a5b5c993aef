#!/usr/bin/env node
import { FleetClient } from '@taskfleet/client'
import { Fleet } from '@taskfleet/core'
import { startMongo } from '@taskfleet/dev-mongo'
import type { EventRow } from '@taskfleet/protocol'
import { TaskRunner } from '@taskfleet/worker'
import { registerCallbacks } from './callbacks.ts'
import { eventLine } from './event-line.ts'
import { addition, division, multiplication, subtraction } from './tasks.ts'

const print = (line: string): void => void process.stdout.write(`${line}\n`)

/** What was opened, to be closed in the opposite order whatever happens. */
const opened: (() => unknown)[] = []
try {
  const mongo = await startMongo({ log: print })
  opened.push(() => mongo.stop())
  const fleet = await Fleet.connect(mongo.uri)
  opened.push(() => fleet.close())
  await registerCallbacks(fleet)

  const events = await postEvents(fleet)
  const runner = new TaskRunner({
    mongo: mongo.uri,
    tasks: [addition, subtraction, multiplication, division],
    queues: ['arithmetic'],
    // One at a time shows what priorities do.
    concurrency: 1,
    listen: { host: '127.0.0.1', port: 0 },
    secret: process.env.TASKFLEET_SECRET || mongo.secret,
  })
  opened.push(() => runner.stop())
  await runner.start()

  const token = process.env.TASKFLEET_KEY
  const client = new FleetClient({ url: runner.url!, ...(token !== undefined && { token }) })
  opened.push(() => client.close())
  await printEnds(client, events)
} catch (error) {
  const { message, code } = error as { message?: string; code?: string }
  process.stderr.write(`events: ${message ?? String(error)}${code === undefined ? '' : ` (${code})`}\n`)
  process.exitCode = 1
} finally {
  for (const close of opened.reverse()) await close()
}

/** Posts before anybody runs them: those of a high priority overtake, and those with a date wait for it. */
async function postEvents(fleet: Fleet): Promise<EventRow[]> {
  const { events } = fleet.as()
  const soon = (ms: number) => new Date(fleet.database.clock.now().getTime() + ms)
  return [
    await events.post({ name: 'Add', props: { a: 2, b: 3 } }),
    await events.post({ name: 'Subtract', props: { a: 2, b: 3 }, priority: 2 }),
    await events.post({ name: 'Multiply', props: { a: 4, b: 5 }, priority: 9 }),
    await events.post({ name: 'Divide', props: { a: 1, b: 0 }, priority: 4 }),
    await events.post({ name: 'All', props: { a: 12, b: 4 }, scheduledFor: soon(1_000) }),
    await events.post({ name: 'Divide', props: { a: 9, b: 2 }, scheduledFor: soon(1_500) }),
  ]
}

/** The log of these events: a line for each as it ends. Resolves with the last one. */
async function printEnds(client: FleetClient, events: readonly EventRow[]): Promise<void> {
  const open = new Set(events.map(({ _id }) => _id))
  const filter = { _id: { $in: [...open] }, processedAt: { $exists: true } }
  await new Promise<void>((resolve, reject) => {
    const following = client.subscribe({ collection: 'events', filter, sort: { processedAt: 1 } }, (rows) => {
      for (const event of rows) if (open.delete(event._id)) print(eventLine(event))
      if (open.size === 0) resolve()
    })
    following.catch(reject)
  })
}
