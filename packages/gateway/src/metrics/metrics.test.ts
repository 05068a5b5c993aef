import { readFile } from 'node:fs/promises'
import type { TaskDocument } from '@taskfleet/core'
import { parsePrometheus, type Sample } from '@taskfleet/testkit/fleet/prometheus-text'
import { makeKey, type RestCaller, sendRaw, startRest } from '@taskfleet/testkit/fleet/rest-calls'
import { open as openSocket, ownQueue, startGateway } from '@taskfleet/testkit/fleet/test-sockets'
import { eventually, useFleet } from '@taskfleet/testkit/fleet/use-fleet'
import { describe, expect, test } from 'vitest'
import { BoundedLabels } from './bounded-labels.ts'
import { TaskFlow } from './task-flow.ts'

const fleet = useFleet()

const scrape = async (url: string, token?: string): Promise<Response> =>
  fetch(`${url}/metrics`, token === undefined ? {} : { headers: { authorization: `Bearer ${token}` } })

/** The samples of a scrape that must be good. */
async function figures({ gateway }: RestCaller, token: string): Promise<(name: string, labels?: object) => number> {
  const answer = await scrape(gateway.url!, token)
  expect(answer.status).toBe(200)
  const { samples } = parsePrometheus(await answer.text())
  return (name, labels = {}) => sumOf(samples, name, labels)
}

const sumOf = (samples: readonly Sample[], name: string, labels: object): number =>
  samples
    .filter((one) => one.name === name && Object.entries(labels).every(([key, value]) => one.labels[key] === value))
    .reduce((sum, { value }) => sum + value, 0)

describe('/metrics', () => {
  // First: there is no key yet.
  test('is open on this computer while no key exists', async () => {
    const gateway = await startGateway(fleet)
    const answer = await scrape(gateway.url!)
    expect(answer.status).toBe(200)
    expect(answer.headers.get('content-type')).toBe('text/plain; version=0.0.4; charset=utf-8')
    expect(answer.headers.get('cache-control')).toBe('no-store')
  })

  test('follows a task from waiting to its end', async () => {
    const token = await makeKey(fleet, { scopes: ['read'] })
    const rest = await startRest(fleet)
    const queue = ownQueue()
    const of = (status: string) => ({ queue, status })
    expect((await figures(rest, token))('taskfleet_tasks', of('pending'))).toBe(0)
    const task = await fleet.post([], { queue })
    await eventually(async () => (await figures(rest, token))('taskfleet_tasks', of('pending')) === 1)
    const runner = await fleet.runner({ queue, name: 'north "1"\\', concurrency: 3, heartbeatMs: 100 })
    await fleet.ended(task._id)
    const seen = await eventually(async () => {
      const value = await figures(rest, token)
      return value('taskfleet_tasks', of('completed')) === 1 && value('taskfleet_task_run_seconds_count') === 1 && value
    })
    expect(seen('taskfleet_tasks', of('pending'))).toBe(0)
    expect(seen('taskfleet_tasks_enqueued_total', { queue })).toBe(1)
    expect(seen('taskfleet_tasks_claimed_total', { queue })).toBe(1)
    expect(seen('taskfleet_tasks_ended_total', of('completed'))).toBe(1)
    expect(seen('taskfleet_task_run_seconds_count', { name: 'scripted' })).toBe(1)
    expect(seen('taskfleet_workers', { state: 'running' })).toBe(1)
    expect(seen('taskfleet_worker_slots', { worker: 'north "1"\\' })).toBe(3)
    expect(seen('taskfleet_worker_gate_open', { worker: 'north "1"\\' })).toBe(1)
    expect(seen('taskfleet_worker_resident_memory_bytes')).toBeGreaterThan(1e7)
    expect(seen('process_resident_memory_bytes')).toBeGreaterThan(1e7)
    expect(seen('taskfleet_build_info')).toBe(1)
    const lag = seen('taskfleet_feed_lag_seconds')
    expect(lag).toBeGreaterThan(0)
    expect(lag).toBeLessThan(30)
    await runner.stop()
    await eventually(async () => (await figures(rest, token))('taskfleet_workers', { state: 'running' }) === 0)
  })

  test('counts the clients of this gateway and their subscriptions', async () => {
    const token = await makeKey(fleet, { scopes: ['read'] })
    const rest = await startRest(fleet)
    const socket = openSocket(rest.gateway.url!, token)
    fleet.cleanup(() => void socket.close())
    await socket.emitWithAck('subscribeQuery', { filter: { status: 'failed' } })
    const value = await figures(rest, token)
    expect(value('taskfleet_gateway_connections')).toBe(1)
    expect(value('taskfleet_gateway_subscriptions')).toBe(1)
    expect(value('taskfleet_gateway_views')).toBeGreaterThanOrEqual(2)
    expect(value('taskfleet_view_mismatches_total')).toBe(0)
  })

  test('needs an unlimited key, and a name of the gateway', async () => {
    const { gateway } = await startRest(fleet)
    const url = gateway.url!
    const refusal = async (token?: string) => {
      const answer = await scrape(url, token)
      return `${answer.status} ${((await answer.json()) as { code: string }).code}`
    }
    expect(await refusal()).toBe('401 UNAUTHENTICATED')
    expect(await refusal('tf_wrong')).toBe('401 UNAUTHENTICATED')
    expect(await refusal(await makeKey(fleet, { scopes: ['write', 'control'] }))).toBe('403 FORBIDDEN')
    expect(await refusal(await makeKey(fleet, { scopes: ['read'], queues: ['one'] }))).toBe('403 FORBIDDEN')
    const foreign = await sendRaw(url, 'GET /metrics HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n')
    expect(foreign).toMatch(/^HTTP\/1.1 403 .*BAD_HOST/s)
  })

  test('has no metric that the documentation does not name with its type and labels, and the other way round', async () => {
    const token = await makeKey(fleet, { scopes: ['read'] })
    const { gateway } = await startRest(fleet)
    const text = await (await scrape(gateway.url!, token)).text()
    const { types, samples } = parsePrometheus(text)
    const page = await readFile(new URL('../../../../docs/operations.md', import.meta.url), 'utf8')
    const told = [...page.matchAll(/^\| `(taskfleet_\w+)(?:\{([\w, ]+)\})?` \| (\w+) \|/gm)]
    const own = [...types].filter(([name]) => name.startsWith('taskfleet_'))
    expect(told.map(([, name, , type]) => [name, type]).sort()).toEqual(own.sort())
    const labels = new Map(told.map(([, name, names = '']) => [name, names.split(', ').sort().join()]))
    const sampled = samples.filter(({ name }) => labels.has(name))
    expect(sampled.length).toBeGreaterThan(20)
    for (const { name, labels: given } of sampled) expect(Object.keys(given).sort().join()).toBe(labels.get(name))
  })
})

describe('what is counted', () => {
  const at = (ms: number) => new Date(1_000_000 + ms)
  const doc = (over: Partial<TaskDocument>) =>
    ({ status: 'pending', rev: 1, attempt: 0, attempts: [], createdAt: at(1), ...over }) as unknown as TaskDocument
  const heard = (most?: number) => {
    const steps: string[] = []
    const flow = new TaskFlow(
      at(0),
      {
        enqueued: () => steps.push('enqueued'),
        claimed: (_, count) => steps.push(`claimed ${count}`),
        ended: ({ status }) => steps.push(status),
      },
      most,
    )
    const change = (id: string, document: TaskDocument | null) =>
      flow.change({ collection: 'tasks', id, doc: document as never })
    return { steps, change }
  }
  const claimedAt = (...times: number[]) =>
    ({
      attempt: times.length,
      attempts: times.map((ms) => ({ claimedAt: at(ms) })),
    }) as unknown as Partial<TaskDocument>

  test('each step counts once, also when changes show the same or steps were skipped', () => {
    const { steps, change } = heard()
    change('a', doc({}))
    const done = doc({ rev: 3, status: 'completed', finishedAt: at(9), ...claimedAt(5) })
    change('a', done)
    change('a', done)
    change('a', doc({ rev: 2, status: 'running', ...claimedAt(5) }))
    expect(steps).toEqual(['enqueued', 'claimed 1', 'completed'])
    change('b', doc({ rev: 7, status: 'failed', finishedAt: at(9), ...claimedAt(2, 3) }))
    expect(steps.slice(3)).toEqual(['enqueued', 'claimed 2', 'failed'])
  })

  test('earlier steps do not count, and neither does a change of an ended task', () => {
    const { steps, change } = heard()
    change('a', doc({ rev: 4, createdAt: at(-9), status: 'running', ...claimedAt(-5, 4) }))
    change('a', doc({ rev: 5, createdAt: at(-9), status: 'failed', finishedAt: at(6), ...claimedAt(-5, 4) }))
    change('b', doc({ rev: 9, createdAt: at(-9), status: 'failed', finishedAt: at(-2), ...claimedAt(-3) }))
    change('c', null)
    expect(steps).toEqual(['claimed 1', 'failed'])
  })

  test('those that changed longest ago are forgotten first, and invalid documents do no harm', () => {
    const { steps, change } = heard(2)
    for (const id of ['a', 'b', 'a', 'c']) change(id, doc({}))
    change('a', doc({ rev: 2 }))
    change('x', { rev: 1, status: 'weird', attempts: 'none' } as never)
    expect(steps).toEqual(['enqueued', 'enqueued', 'enqueued'])
  })

  test('names beyond the limit share one series for good', () => {
    const labels = new BoundedLabels(2)
    expect(['a', 'b', 'c', 'a', 'd', 'b'].map((name) => labels.label(name))).toEqual([
      'a',
      'b',
      'other',
      'a',
      'other',
      'b',
    ])
  })
})
