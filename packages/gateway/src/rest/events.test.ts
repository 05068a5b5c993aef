import type { CallbackRow, EventRow } from '@taskfleet/protocol'
import { startRest, told } from '@taskfleet/testkit/fleet/rest-calls'
import { ownQueue } from '@taskfleet/testkit/fleet/test-sockets'
import { eventually, useFleet } from '@taskfleet/testkit/fleet/use-fleet'
import { defineTask } from '@taskfleet/worker'
import { describe, expect, test } from 'vitest'
import { z } from 'zod'

const fleet = useFleet()
const open = async () => startRest(fleet, { scopes: ['read', 'write', 'control'] })
const missing = 'f'.repeat(24)

describe('events and callbacks over REST', () => {
  test('a callback is registered, an event posted, its task run, and the event followed to its end', async () => {
    const queue = ownQueue()
    const divide = defineTask({
      name: 'divide',
      input: z.object({ a: z.number(), b: z.number() }).loose(),
      retry: { maxAttempts: 1 },
      run: ({ input }) => {
        if (input.b === 0) throw Object.assign(new Error('not by zero'), { code: 'DIVISION_BY_ZERO' })
        return input.a / input.b
      },
    })
    await fleet.runner({ queue, tasks: [divide] })
    const { call } = await open()
    const made = await call('POST', '/callbacks', {
      event: 'Divide',
      task: 'divide',
      defaults: { queue, maxAttempts: 1 },
    })
    expect(made.status).toBe(201)
    const callback = made.body as unknown as CallbackRow
    expect((await call('GET', '/callbacks?event=Divide')).body).toEqual({ callbacks: [callback] })
    const good = await call('POST', '/events', { name: 'Divide', props: { a: 6, b: 3, why: 'test' }, priority: 9 })
    expect(good).toMatchObject({ status: 201, body: { status: 'scheduled', priority: 9 } })
    const bad = await call('POST', '/events', { name: 'Divide', props: { a: 6, b: 0 } })
    const ended = (id: unknown) =>
      eventually(async () => {
        const event = (await call('GET', `/events/${String(id)}`)).body as unknown as EventRow
        return event.processedAt !== undefined && event
      })
    expect(await ended(good.body._id)).toMatchObject({ status: 'finished', results: [{ output: 2 }] })
    expect(await ended(bad.body._id)).toMatchObject({
      status: 'failed',
      results: [{ error: { code: 'DIVISION_BY_ZERO' } }],
    })
    const log = (await call('GET', `/events?after=${String(good.body._id)}`)).body as { events: EventRow[] }
    expect(log.events.map(({ _id }) => _id)).toEqual([bad.body._id])
    expect((await call('DELETE', `/events/${String(bad.body._id)}`)).status).toBe(204)
    expect(told(await call('GET', `/events/${String(bad.body._id)}`))).toBe('404 NOT_FOUND')
    const changed = await call('PATCH', `/callbacks/${callback._id}`, { task: 'other', rev: 1 })
    expect(changed).toMatchObject({ status: 200, body: { task: 'other', rev: 2 } })
    expect(told(await call('PATCH', `/callbacks/${callback._id}`, { task: 'x', rev: 1 }))).toBe('409 REV_CONFLICT')
    expect((await call('DELETE', `/callbacks/${callback._id}`)).status).toBe(204)
  })

  test('a scheduled event can be moved and cancelled', async () => {
    const { call } = await open()
    const { body: callback } = await call('POST', '/callbacks', {
      event: 'Later',
      task: 'nobody',
      defaults: { queue: ownQueue() },
    })
    const { body: event } = await call('POST', '/events', { name: 'Later', scheduledFor: '2031-01-01T00:00:00Z' })
    const moved = await call('PATCH', `/events/${String(event._id)}`, {
      scheduledFor: '2032-01-01T00:00:00Z',
      priority: 'high',
    })
    expect(moved).toMatchObject({ status: 200, body: { scheduledFor: '2032-01-01T00:00:00.000Z', priority: 8 } })
    const [task] = (await call('GET', `/tasks/${(event.tasks as string[])[0]}`)).body ? (event.tasks as string[]) : []
    expect((await call('GET', `/tasks/${task}`)).body).toMatchObject({ runAt: '2032-01-01T00:00:00.000Z', priority: 8 })
    expect(told(await call('DELETE', `/events/${String(event._id)}`))).toBe('409 NOT_ENDED')
    expect(await call('POST', `/events/${String(event._id)}/cancel`, { reason: 'not at all' })).toMatchObject({
      status: 200,
      body: { changed: 1 },
    })
    await eventually(async () => (await call('GET', `/events/${String(event._id)}`)).body.status === 'cancelled')
    await call('DELETE', `/callbacks/${String(callback._id)}`)
  })

  test.each([
    ['POST', '/events', { name: '../x' }, '400 BAD_NAME'],
    ['POST', '/events', { name: 'E', props: [] }, '400 BAD_INPUT'],
    ['POST', '/events', { name: 'E', priority: 11 }, '400 OUT_OF_RANGE'],
    ['POST', '/events', { name: 'E', scheduledFor: 'tomorrow' }, '400 BAD_DATE'],
    ['POST', '/events', { name: 'E', status: 'finished' }, '400 UNKNOWN_FIELD'],
    ['GET', `/events/${missing}`, undefined, '404 NOT_FOUND'],
    ['GET', '/events/x', undefined, '400 BAD_ID'],
    ['PATCH', `/events/${missing}`, {}, '400 BAD_REQUEST'],
    ['POST', '/callbacks', { event: 'E', task: '../x' }, '400 BAD_NAME'],
    ['PATCH', `/callbacks/${missing}`, { task: 'x' }, '404 NOT_FOUND'],
    ['DELETE', `/callbacks/${missing}`, undefined, '404 NOT_FOUND'],
    ['PATCH', '/queues/some', {}, '400 BAD_VALUE'],
  ] as const)('%s %s %j is refused with %s', async (method, url, body, expected) => {
    const { call } = await open()
    expect(told(await call(method, url, body))).toBe(expected)
    expect((await call('GET', '/callbacks')).status).toBe(200)
  })

  test("a queue's limit is set and taken away", async () => {
    const { call } = await open()
    const queue = ownQueue()
    expect(await call('PATCH', `/queues/${queue}`, { concurrency: 3 })).toMatchObject({
      body: { concurrency: 3, paused: false },
    })
    expect(await call('PATCH', `/queues/${queue}`, { concurrency: null, paused: true })).toMatchObject({
      body: { paused: true },
    })
    expect((await call('PATCH', `/queues/${queue}`, { paused: false })).body.concurrency).toBeUndefined()
    expect((await call('PATCH', `/queues/${queue}`, { rate: { limit: 100, per: '1m' } })).body).toMatchObject({
      rate: { limit: 100, per: 60_000 },
    })
    for (const [rate, refusal] of [
      [{ limit: 0, per: '1m' }, '400 BAD_VALUE'],
      [{ limit: 1 }, '400 BAD_VALUE'],
      [{ limit: 1, per: '2d' }, '400 OUT_OF_RANGE'],
      [{ limit: 1, per: '$per' }, '400 BAD_DURATION'],
    ] as const)
      expect(told(await call('PATCH', `/queues/${queue}`, { rate }))).toBe(refusal)
    expect((await call('PATCH', `/queues/${queue}`, { rate: null })).body.rate).toBeUndefined()
  })

  test('a session has the permissions of its key', async () => {
    const { call, as } = await startRest(fleet, { scopes: ['read'] })
    const made = await call('POST', '/sessions')
    expect(made.status).toBe(201)
    const { call: byBrowser } = as(made.body.token as string)
    expect((await byBrowser('GET', '/callbacks')).status).toBe(200)
    expect(told(await byBrowser('POST', '/events', { name: 'E' }))).toBe('403 FORBIDDEN')
  })
})
