import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { EventRow } from '@taskfleet/core'
import { expect, test } from 'vitest'
import { GatewayProcess } from '../testing/gateway-process.ts'
import { eventually, useFleet } from '../testing/use-fleet.ts'
import { WorkerProcess } from './worker-process.ts'

const TASKS = fileURLToPath(new URL('./steady.tasks.mjs', import.meta.url))
const EVENTS = 50
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
  const overdueAt = Date.now() + 6_000
  const futureAt = overdueAt + 8_000
  const posted = await Promise.all(
    Array.from({ length: EVENTS }, async (_, n) => {
      const scheduledFor = new Date(n % 2 === 0 ? overdueAt : futureAt).toISOString()
      return (await call('POST', '/events', { name: 'Tick', props: { ms: 1, journal }, scheduledFor })) as EventRow
    }),
  )
  await Promise.all([gateway.kill(), ...workers.map((worker) => worker.signal('SIGKILL'))])
  expect(Date.now()).toBeLessThan(overdueAt)
  await eventually(() => Date.now() > overdueAt + 500)
  await gateway.restart()
  workers = await startWorkers()
  const restartedAt = Date.now()
  const ended = await eventually(async () => {
    const { events } = (await call('GET', '/events?name=Tick&status=finished&limit=100')) as { events: EventRow[] }
    return events.length === EVENTS && events
  })
  const notes = (await readFile(journal, 'utf8'))
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Note)
  for (const { _id, tasks, scheduledFor } of posted) {
    const begun = notes.filter(({ id, what }) => id === tasks[0] && what === 'begin')
    expect(begun).toHaveLength(1)
    expect(begun[0]!.at).toBeGreaterThanOrEqual(Date.parse(scheduledFor) - 100)
    if (Date.parse(scheduledFor) === overdueAt) expect(begun[0]!.at - restartedAt).toBeLessThan(6_000)
    expect(ended.find((event) => event._id === _id)?.processedAt).toBeDefined()
  }
}, 120_000)
