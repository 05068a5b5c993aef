import { setTimeout as sleep } from 'node:timers/promises'
import { CommandTap, type Tapped } from '@taskfleet/testkit/command-tap'
import { useFleet } from '@taskfleet/testkit/fleet/use-fleet'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { defineTask } from './define-task.ts'
import { TaskRunner, type TaskRunnerOptions } from './task-runner.ts'

const fleet = useFleet()
const SETTLE_MS = 5_000
/** No check of the indexes falls into it: they are checked half a minute after the start and then every five minutes. */
const WATCHED_MS = 15_000

/** Starts a worker without tasks. */
async function started(options: Omit<Partial<TaskRunnerOptions>, 'mongo'> & { mongo: string }): Promise<TaskRunner> {
  const idle = defineTask({ name: 'idle', input: z.object({}), run: () => null })
  const runner = new TaskRunner({ tasks: [idle], queues: ['idle'], ...options })
  fleet.cleanup(() => runner.stop({ grace: 0 }))
  await runner.start()
  return runner
}

/** What an idle worker sends within `WATCHED_MS`, if the survey and the audit of the day are done. */
async function sentBy(options: Pick<TaskRunnerOptions, 'ownStream'>): Promise<Tapped> {
  await fleet.fleet.surveyIfDue()
  await fleet.fleet.counts.auditIfDue()
  const { tap, uri } = await CommandTap.start({ uri: fleet.uri, defer: (end) => fleet.cleanup(end) })
  // Connections that a start needs and an idle worker doesn't are closed, by default after 30 s.
  const mongo = new URL(uri)
  mongo.searchParams.set('maxIdleTimeMS', '4000')
  await started({ mongo: mongo.href, ...options })
  await sleep(SETTLE_MS)
  tap.take()
  await sleep(WATCHED_MS)
  return tap.take()
}

const all = ({ commands }: Tapped): number => [...commands.values()].reduce((sum, count) => sum + count, 0)

test('an idle worker with a change stream of its own sends at most two commands a second', async () => {
  const sent = await sentBy({ ownStream: true })
  expect(all(sent), JSON.stringify([...sent.commands])).toBeLessThanOrEqual((2 * WATCHED_MS) / 1_000)
  expect(sent.commands.get('hello')).toBeLessThanOrEqual(8)
  expect(sent.connections).toBeLessThanOrEqual(6)
}, 180_000)

test('an idle worker with a feeder sends about one command a second, over four connections at most', async () => {
  await started({ mongo: fleet.uri, queues: ['feeder'], listen: { host: '127.0.0.1', port: 0 } })
  const sent = await sentBy({})
  expect(all(sent), JSON.stringify([...sent.commands])).toBeLessThanOrEqual((1.5 * WATCHED_MS) / 1_000)
  expect([...sent.commands.keys()].filter((name) => /getMore|canaries/.test(name))).toEqual([])
  // The monitors of two clients, the renewal of the session, and at most one for data.
  expect(sent.connections).toBeLessThanOrEqual(4)
}, 180_000)
