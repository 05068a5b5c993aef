import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { EventRow } from '@taskfleet/protocol'
import { expect, test } from 'vitest'
import { countFault } from '../count-fault.ts'
import { GatewayProcess } from '../fleet/gateway-process.ts'
import { eventually, useFleet } from '../fleet/use-fleet.ts'
import { WorkerProcess } from './worker-process.ts'

const TASKS = fileURLToPath(new URL('./steady.tasks.mjs', import.meta.url))
const EVENTS = 50
const HOUR_MS = 3_600_000
const POLL_MS = 30_000
const fleet = useFleet()

interface Note {
  id: string
  what: 'begin' | 'end'
  at: number
}

test('50 events outlive a gateway and all workers: each runs once, overdue ones at once, none early', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'taskfleet-restart-'))
  fleet.cleanup(() => rm(folder, { recursive: true, force: true }))
  const journal = join(folder, 'journal')
  const startWorkers = () =>
    Promise.all([1, 2].map(() => WorkerProcess.start({ mongo: fleet.uri, tasks: TASKS, args: ['--concurrency', '4'] })))
  const gateway = await GatewayProcess.start(fleet.uri)
  let workers = await startWorkers()
  fleet.cleanup(() => Promise.all([gateway.kill(), ...workers.map((worker) => worker.signal('SIGKILL'))]))
  const call = async (method: string, path: string, body?: object): Promise<unknown> => {
    const answer = await fetch(`${gateway.url}/api/v1${path}`, {
      method,
      ...(body === undefined ? {} : { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }),
    })
    expect([path, answer.ok]).toEqual([path, true])
    return answer.json()
  }
  await call('POST', '/callbacks', { event: 'Tick', task: 'steady' })
  // As far ahead as a busy machine may need to store them all.
  const first = { scheduledFor: new Date(Date.now() + HOUR_MS).toISOString() }
  const posted = await Promise.all(
    Array.from({ length: EVENTS }, async () => {
      return (await call('POST', '/events', { name: 'Tick', props: { ms: 1, journal }, ...first })) as EventRow
    }),
  )
  await Promise.all([gateway.kill(), ...workers.map((worker) => worker.signal('SIGKILL'))])
  countFault('gateway killed')
  countFault('worker killed', workers.length)
  // One half becomes due while no worker runs.
  const [overdue, future] = [posted.slice(0, EVENTS / 2), posted.slice(EVENTS / 2)]
  const overdueAt = Date.now() + 500
  for (const { _id } of overdue) await fleet.fleet.eventsFor().edit(_id, { scheduledFor: new Date(overdueAt) })
  await eventually(() => Date.now() > overdueAt)
  await gateway.restart()
  workers = await startWorkers()
  const restartedAt = Date.now()
  const finished = (count: number): Promise<EventRow[]> =>
    eventually(async () => {
      const { events } = (await call('GET', '/events?name=Tick&status=finished&limit=100')) as { events: EventRow[] }
      return events.length === count && events
    })
  await finished(overdue.length)
  // The other half becomes due when all are back.
  const futureAt = Date.now() + 1_500
  const scheduledFor = new Date(futureAt).toISOString()
  await Promise.all(future.map(({ _id }) => call('PATCH', `/events/${_id}`, { scheduledFor })))
  const ended = await finished(EVENTS)
  const notes = (await readFile(journal, 'utf8'))
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Note)
  for (const [events, dueAt] of [
    [overdue, overdueAt],
    [future, futureAt],
  ] as const) {
    for (const { _id, tasks } of events) {
      const begun = notes.filter(({ id, what }) => id === tasks[0] && what === 'begin')
      expect(begun).toHaveLength(1)
      expect(begun[0]!.at).toBeGreaterThanOrEqual(dueAt - 100)
      // Long before workers check again by themselves.
      if (events === overdue) expect(begun[0]!.at - restartedAt).toBeLessThan(POLL_MS)
      expect(ended.find((event) => event._id === _id)?.processedAt).toBeDefined()
    }
  }
}, 120_000)
