import type { ScheduleRow } from '@taskfleet/protocol'
import { makeKey, startRest, told } from '@taskfleet/testkit/fleet/rest-calls'
import { ask, codeOf, connect, HeldRows, ownQueue } from '@taskfleet/testkit/fleet/test-sockets'
import { eventually, useFleet } from '@taskfleet/testkit/fleet/use-fleet'
import { describe, expect, test } from 'vitest'

const fleet = useFleet()
const open = async () => startRest(fleet, { scopes: ['read', 'control'] })
const YEARLY = '0 0 1 1 *'

describe('schedules over REST', () => {
  test('one is made, shown, changed as it was seen, paused, resumed, run by hand and removed', async () => {
    const queue = ownQueue()
    const { call } = await open()
    const made = await call('POST', '/schedules', {
      _id: 'nightly',
      task: 'report',
      input: { n: 1 },
      options: { queue, deadlineAfter: '1h' },
      cron: YEARLY,
      timeZone: 'America/New_York',
    })
    expect(made).toMatchObject({ status: 201, body: { _id: 'nightly', edition: 1, missed: 'latest' } })
    expect(String(made.body.nextAt)).toMatch(/-01-01T05:00:00.000Z$/)
    const shown = await call('GET', '/schedules/nightly')
    expect([shown.headers.get('etag'), shown.body]).toEqual(['"1"', made.body])
    const { input, ...row } = made.body
    expect((await call('GET', '/schedules')).body).toEqual({ schedules: [row] })
    const changed = await call('PATCH', '/schedules/nightly', { timeZone: 'UTC' }, { 'if-match': '"1"' })
    expect(changed).toMatchObject({ status: 200, body: { edition: 2, timeZone: 'UTC' } })
    expect(String(changed.body.nextAt)).toMatch(/-01-01T00:00:00.000Z$/)
    expect(told(await call('PATCH', '/schedules/nightly', { version: 2 }, { 'if-match': '"1"' }))).toBe(
      '409 REV_CONFLICT',
    )
    expect(told(await call('PATCH', '/schedules/nightly', { version: 2, edition: 1 }))).toBe('409 REV_CONFLICT')
    const paused = await call('POST', '/schedules/nightly/pause', { reason: 'holidays' })
    expect(paused).toMatchObject({ status: 200, body: { paused: true } })
    expect(paused.body).not.toHaveProperty('nextAt')
    expect(await call('POST', '/schedules/nightly/run')).toMatchObject({
      status: 201,
      body: { name: 'report', queue, input: { n: 1 }, schedule: 'nightly' },
    })
    expect((await call('POST', '/schedules/nightly/resume')).body).toMatchObject({ nextAt: changed.body.nextAt })
    expect((await call('DELETE', '/schedules/nightly')).status).toBe(204)
    expect(told(await call('GET', '/schedules/nightly'))).toBe('404 NOT_FOUND')
  })

  test.each([
    [{ cron: '0 25 * * *' }, '400 BAD_CRON', 'cron'],
    [{ cron: '0 0 30 2 *' }, '400 BAD_CRON', 'cron'],
    [{ every: '10ms' }, '400 BAD_EVERY', 'every'],
    [{ cron: YEARLY, timeZone: 'Nowhere' }, '400 BAD_TIME_ZONE', 'timeZone'],
    [{ cron: YEARLY, nextAt: '2027-01-01T00:00:00Z' }, '400 UNKNOWN_FIELD', 'nextAt'],
    [{ cron: YEARLY, task: { name: 'x', input: { '~standard': {} } } }, '400 BAD_NAME', 'task'],
  ])('%j is answered with %s', async (over, answer, field) => {
    const { call } = await open()
    const refused = await call('POST', '/schedules', { _id: 'refused', task: 'x', ...over })
    expect([told(refused), refused.body.field]).toEqual([answer, field])
  })

  test('a preview needs the scope read, and is limited', async () => {
    const { call } = await startRest(fleet, { scopes: ['read'] })
    const query = 'cron=30+2+*+*+*&timeZone=Europe/Berlin&startsAt=2027-03-27T00:00:00Z&count=2'
    expect((await call('GET', `/schedules/preview?${query}`)).body).toEqual({
      slots: ['2027-03-27T01:30:00.000Z', '2027-03-28T01:00:00.000Z'],
    })
    expect((await call('GET', '/schedules/preview?every=1s')).body.slots).toHaveLength(5)
    expect(told(await call('GET', '/schedules/preview?every=1s&count=1000'))).toMatch(/^400/)
  })

  test('a limited key changes and sees only its own, over REST and live', async () => {
    const [mine, theirs] = [ownQueue(), ownQueue()]
    const boss = await open()
    await boss.call('POST', '/schedules', { _id: 'theirs', task: 'x', options: { queue: theirs }, cron: YEARLY })
    const token = await makeKey(fleet, { scopes: ['read', 'control'], queues: [mine] })
    const { call } = boss.as(token)
    for (const [method, path] of [
      ['GET', ''],
      ['PATCH', ''],
      ['DELETE', ''],
      ['POST', '/run'],
      ['POST', '/pause'],
    ] as const) {
      const body = method === 'PATCH' ? { options: { queue: mine } } : undefined
      expect(told(await call(method, `/schedules/theirs${path}`, body))).toBe('404 NOT_FOUND')
    }
    expect((await call('GET', '/schedules')).body).toEqual({ schedules: [] })
    const socket = await connect(fleet, boss.gateway.url!, token)
    const held = await HeldRows.open(socket, { collection: 'schedules', sort: { nextAt: 1 } })
    expect(held.rows).toEqual([])
    const own = { _id: 'mine', task: 'x', options: { queue: mine }, cron: YEARLY, input: { secret: 1 } }
    await call('POST', '/schedules', own)
    await boss.call('PATCH', '/schedules/theirs', { version: 2 })
    const rows = await eventually(() => held.rows.length > 0 && (held.rows as unknown as ScheduleRow[]))
    expect(rows.map(({ _id, input }) => [_id, input])).toEqual([['mine', undefined]])
    await call('POST', '/schedules/mine/pause')
    await eventually(() => (held.rows[0] as unknown as ScheduleRow).paused)
    const filtered = {
      collection: 'schedules',
      filter: { 'options.queue': mine, nextAt: { $gt: '2020-01-01T00:00:00Z' } },
    }
    expect(codeOf(await ask(socket, 'subscribeQuery', filtered))).toBe('ok')
    expect(codeOf(await ask(socket, 'subscribeQuery', { collection: 'schedules', filter: { odd: 1 } }))).toBe(
      'UNKNOWN_FIELD',
    )
  })
})
