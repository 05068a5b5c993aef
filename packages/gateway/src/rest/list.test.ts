import { makeKey, startRest, told } from '@taskfleet/testkit/fleet/rest-calls'
import { ownQueue } from '@taskfleet/testkit/fleet/test-sockets'
import { useFleet } from '@taskfleet/testkit/fleet/use-fleet'
import { expect, test } from 'vitest'

const fleet = useFleet()
const LATER = new Date(Date.now() + 3_600_000)

const idsOf = (tasks: unknown): string[] => (tasks as { _id: string }[]).map(({ _id }) => _id)

test.each([
  ['-_id', { _id: -1 }],
  ['priority', { priority: 1, _id: 1 }],
  ['-deadline,priority', { deadline: -1, priority: 1, _id: 1 }],
  ['deadline', { deadline: 1, _id: 1 }],
  ['{"key":-1,"_id":-1}', { key: -1, _id: -1 }],
])('pages by %s are together what one look would show', async (sort, stored) => {
  const { call } = await startRest(fleet)
  const queue = ownQueue()
  for (let index = 0; index < 23; index += 1) {
    await fleet.post([], {
      queue,
      runAt: LATER,
      priority: 1 + (index % 3),
      ...(index % 2 === 0 ? { deadline: new Date(LATER.getTime() + (index % 5) * 1_000) } : {}),
      ...(index % 4 === 0 ? { key: `${queue}${index}` } : {}),
    })
  }
  // Any document may be written directly to the database.
  await fleet.fleet.tasks.updateOne({ queue, priority: 2 }, { $set: { deadline: 'soon' as never } })
  const seen: string[] = []
  let cursor: unknown
  do {
    const { status, body } = await call(
      'GET',
      `/tasks?queue=${queue}&limit=4&sort=${encodeURIComponent(sort)}${cursor === undefined ? '' : `&cursor=${String(cursor)}`}`,
    )
    expect(status).toBe(200)
    seen.push(...idsOf(body.tasks))
    cursor = body.cursor
  } while (cursor !== undefined)
  const wanted = await fleet.fleet.tasks
    .find({ queue })
    .sort(stored as never)
    .toArray()
  expect(seen).toEqual(wanted.map(({ _id }) => _id.toHexString()))
})

test('tasks stored and removed between two pages move no others', async () => {
  const { call } = await startRest(fleet)
  const queue = ownQueue()
  const tasks = []
  for (let index = 0; index < 10; index += 1) tasks.push(await fleet.post([], { queue, runAt: LATER }))
  const newestFirst = tasks.map(({ _id }) => _id.toHexString()).reverse()
  const first = await call('GET', `/tasks?queue=${queue}&limit=4`)
  expect(idsOf(first.body.tasks)).toEqual(newestFirst.slice(0, 4))
  await fleet.post([], { queue, runAt: LATER })
  await fleet.fleet.tasks.deleteMany({ _id: { $in: [tasks[9]!._id, tasks[6]!._id] } })
  const second = await call('GET', `/tasks?queue=${queue}&limit=4&cursor=${String(first.body.cursor)}`)
  expect(idsOf(second.body.tasks)).toEqual(newestFirst.slice(4, 8))
})

test('as lines of JSON all matching tasks are streamed', async () => {
  const { call } = await startRest(fleet)
  const queue = ownQueue()
  const asked = Array.from({ length: 1_050 }, (_, n) => ({ name: 'many', queue, input: { n } }))
  expect((await call('POST', '/tasks', asked)).status).toBe(201)
  const { text, headers } = await call('GET', `/tasks?queue=${queue}&fields=input&sort=_id`, undefined, {
    accept: 'application/x-ndjson',
  })
  expect(headers.get('content-type')).toBe('application/x-ndjson')
  const lines = text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as { input: { n: number } })
  expect(lines).toHaveLength(1_050)
  expect(new Set(lines.map(({ input }) => input.n)).size).toBe(1_050)
})

test('simple parameters and a filter narrow together, within what the key may see', async () => {
  const { call, as } = await startRest(fleet)
  const [queue, other] = [ownQueue(), ownQueue()]
  const mine = await fleet.post([], { queue, runAt: LATER, priority: 9 })
  await fleet.post([], { queue, runAt: LATER, priority: 1 })
  const theirs = await fleet.post([], { queue: other, runAt: LATER, priority: 9 })
  await fleet.fleet.store.cancel(theirs._id, 'test')
  const filter = encodeURIComponent(JSON.stringify({ priority: { $gte: 5 } }))
  expect(idsOf((await call('GET', `/tasks?queue=${queue}&status=pending,paused&filter=${filter}`)).body.tasks)).toEqual(
    [mine._id.toHexString()],
  )
  const limited = as(await makeKey(fleet, { scopes: ['read'], queues: [other] }))
  expect(idsOf((await limited.call('GET', '/tasks')).body.tasks)).toEqual([theirs._id.toHexString()])
  expect(told(await limited.call('GET', `/tasks/${mine._id.toHexString()}`))).toBe('403 QUEUE_NOT_ALLOWED')
  const queues = (await limited.call('GET', '/queues')).body.queues
  expect(queues).toEqual([{ _id: other, paused: false, counts: { cancelled: 1 } }])
  expect((await limited.call('GET', '/stats')).body).toMatchObject({ byQueue: { [other]: { cancelled: 1 } } })
})

test('a list without pages is refused when it has too many bytes, with what to do', async () => {
  const { call } = await startRest(fleet)
  const input = { text: 'x'.repeat(250 * 1024) }
  const names = Array.from({ length: 34 }, (_, n) => `${ownQueue()}-${n}`)
  for (const name of names) {
    const schedule = { _id: name, task: 'large', cron: '0 3 1 1 *', input }
    expect(told(await call('POST', '/schedules', schedule))).toBe('201')
  }
  const refused = await call('GET', '/schedules')
  expect(told(refused)).toBe('413 TOO_BIG')
  expect(refused.body.title).toContain('a limit below 3')
  expect(told(await call('GET', '/schedules?limit=30'))).toBe('200')
  for (const name of names) expect((await call('DELETE', `/schedules/${name}`)).status).toBeLessThan(300)
})

test('a page of large rows ends early, and its cursor leads to the others', async () => {
  const { call } = await startRest(fleet)
  const queue = ownQueue()
  for (let n = 0; n < 10; n += 1) await fleet.post([], { queue, label: 'x'.repeat(100_000), runAt: LATER })
  const sizes: number[] = []
  const seen = new Set<string>()
  for (let cursor: unknown = ''; cursor !== undefined; ) {
    const page = await call(
      'GET',
      `/tasks?queue=${queue}&fields=input&limit=100${cursor && `&cursor=${String(cursor)}`}`,
    )
    expect(page.status).toBe(200)
    sizes.push(idsOf(page.body.tasks).length)
    for (const id of idsOf(page.body.tasks)) seen.add(id)
    cursor = page.body.cursor
  }
  expect(sizes).toEqual([6, 4])
  expect(seen.size).toBe(10)
})
