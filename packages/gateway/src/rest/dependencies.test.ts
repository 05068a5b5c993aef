import type { Explanation } from '@taskfleet/protocol'
import { makeKey, startRest, told } from '@taskfleet/testkit/fleet/rest-calls'
import { ownQueue } from '@taskfleet/testkit/fleet/test-sockets'
import { useFleet } from '@taskfleet/testkit/fleet/use-fleet'
import { taskFactory } from '@taskfleet/testkit/task-factory'
import { describe, expect, test } from 'vitest'

const fleet = useFleet()
const make = () => taskFactory(fleet.fleet.store)
const hex = (task: { _id: { toHexString(): string } }): string => task._id.toHexString()

describe('tasks that wait for others', () => {
  test('one id is returned as one id, several as a list, and filters match both', async () => {
    const { call } = await startRest(fleet)
    const [first, second] = [await make().running(), await make().running()]
    const one = await call('POST', '/tasks', { name: 'next', after: hex(first) })
    expect(one).toMatchObject({ status: 201, body: { status: 'blocked', after: hex(first) } })
    const after = [hex(second), hex(first)]
    const both = await call('POST', '/tasks', { name: 'next', after, ifFailed: 'run' })
    expect(both).toMatchObject({ status: 201, body: { status: 'blocked', after, ifFailed: 'run' } })
    expect(both.body).not.toHaveProperty('predecessors')
    const filter = encodeURIComponent(JSON.stringify({ after: hex(first) }))
    const { tasks } = (await call('GET', `/tasks?filter=${filter}`)).body as { tasks: { _id: string }[] }
    expect(tasks.map(({ _id }) => _id).sort()).toEqual([one.body._id, both.body._id].sort())
  })

  test('explain names each task that is still open', async () => {
    const { call } = await startRest(fleet)
    const [done, failed, open] = [await make().completed(), await make().failed(), await make().running()]
    const after = [done, failed, open].map(hex)
    const { body } = await call('POST', '/tasks', { name: 'next', after, ifFailed: 'wait' })
    const explained = (await call('GET', `/tasks/${body._id}/explain`)).body as unknown as Explanation
    expect(explained).toMatchObject({
      willRun: false,
      reasons: [
        { code: 'BLOCKED', task: hex(failed), message: expect.stringContaining('has failed') },
        { code: 'BLOCKED', task: hex(open), message: expect.stringContaining('is running') },
      ],
    })
  })

  test('edits of `after` work, and cycles are rejected', async () => {
    const { call } = await startRest(fleet)
    const first = await make().pending()
    const { body } = await call('POST', '/tasks', { name: 'next', after: hex(first) })
    const path = `/tasks/${body._id}`
    expect(told(await call('PATCH', `/tasks/${hex(first)}`, { after: body._id }))).toBe('400 DEPENDENCY_CYCLE')
    const free = await call('PATCH', path, { after: null })
    expect(free).toMatchObject({ status: 200, body: { status: 'pending' } })
    expect(free.body).not.toHaveProperty('after')
    expect(await call('PATCH', path, { after: [hex(first)], ifFailed: 'wait' })).toMatchObject({
      status: 200,
      body: { status: 'blocked', after: hex(first), ifFailed: 'wait' },
    })
    expect(told(await call('PATCH', path, { after: 'f'.repeat(24) }))).toBe('404 NOT_FOUND')
    expect(told(await call('PATCH', path, { after: Array(101).fill(hex(first)) }))).toBe('400 OUT_OF_RANGE')
    expect(told(await call('PATCH', path, { ifFailed: 'explode' }))).toBe('400 BAD_VALUE')
  })

  test('a list whose members wait for each other is stored in any order, but not with a cycle', async () => {
    const { call } = await startRest(fleet)
    const [a, b] = ['1'.repeat(24), '2'.repeat(24)]
    const circle = [
      { _id: a, name: 'a', after: b },
      { _id: b, name: 'b', after: [a] },
    ]
    expect(told(await call('POST', '/tasks', circle))).toBe('400 DEPENDENCY_CYCLE')
    expect(told(await call('GET', `/tasks/${a}`))).toBe('404 NOT_FOUND')
    const chain = await call('POST', '/tasks', [circle[0], { _id: b, name: 'b' }])
    expect(chain).toMatchObject({ status: 201, body: { tasks: [{ status: 'blocked' }, { status: 'pending' }] } })
  })

  test('a list that comes after a failure follows it once it is stored', async () => {
    const { call } = await startRest(fleet)
    const failed = await make().failed()
    const stored = await call('POST', '/tasks', [{ name: 'a', after: hex(failed) }])
    const [{ _id }] = (stored.body as unknown as { tasks: [{ _id: string }] }).tasks
    await fleet.until((await fleet.fleet.tasks.findOne({ name: 'a', after: failed._id }))!._id, (task) => {
      return task._id.toHexString() === _id && task.error?.code === 'PREDECESSOR_FAILED'
    })
  })

  test('a key gets no information about tasks that it may not see', async () => {
    const { as } = await startRest(fleet)
    const [mine, theirs] = [ownQueue(), ownQueue()]
    const [own, foreign] = [await make().running({ queue: mine }), await make().running({ queue: theirs })]
    const token = await makeKey(fleet, { scopes: ['read', 'write', 'control'], queues: [mine] })
    const { call } = as(token)
    const wish = { name: 'next', queue: mine }
    expect(told(await call('POST', '/tasks', { ...wish, after: hex(foreign) }))).toBe('404 NOT_FOUND')
    expect(told(await call('POST', '/tasks', [{ ...wish, after: [hex(own), hex(foreign)] }]))).toBe('404 NOT_FOUND')
    const { body, status } = await call('POST', '/tasks', { ...wish, after: hex(own) })
    expect(status).toBe(201)
    expect(told(await call('PATCH', `/tasks/${body._id}`, { after: hex(foreign) }))).toBe('404 NOT_FOUND')
    await fleet.fleet.control().edit({ id: String(body._id), changes: { after: hex(foreign) } })
    const explained = (await call('GET', `/tasks/${body._id}/explain`)).body as unknown as Explanation
    expect(explained.reasons).toEqual([
      expect.objectContaining({ code: 'BLOCKED', message: expect.stringContaining('which this key may not see') }),
    ])
  })
})
