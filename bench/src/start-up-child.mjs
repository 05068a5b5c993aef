// Plain JavaScript, and the built packages: a program of a user starts so, without a loader.
import { setInterval } from 'node:timers'

const [kind, uri] = process.argv.slice(2)

/** @param {string} phase what has just been reached */
const reached = (phase) => process.send?.({ phase, at: Date.now() })

reached('process')
if (kind === 'worker') {
  const [{ defineTask, TaskRunner }, { z }] = await Promise.all([import('@taskfleet/worker'), import('zod')])
  reached('modules')
  const run = () => {
    reached('handler')
    return null
  }
  const runner = new TaskRunner({
    mongo: uri,
    queues: ['start-up'],
    tasks: [defineTask({ name: 'start-up', input: z.object({}), run })],
  })
  await runner.start()
  reached('started')
} else {
  // The floor: the driver alone, one connection, and one write that takes the waiting task.
  const { MongoClient } = await import('mongodb')
  reached('modules')
  const client = await new MongoClient(uri).connect()
  reached('started')
  const waiting = { queue: 'start-up', status: 'pending' }
  await client
    .db()
    .collection('tasks')
    .findOneAndUpdate(waiting, { $set: { status: 'cancelled' } })
  reached('handler')
}
setInterval(() => undefined, 60_000)
