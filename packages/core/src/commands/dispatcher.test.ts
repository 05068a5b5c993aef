import { OPERATIONS, type Operation, SCOPES, type Scope } from '@taskfleet/protocol'
import { newTask } from '@taskfleet/testkit/task-factory'
import { useDatabase } from '@taskfleet/testkit/use-database'
import { beforeAll, describe, expect, test } from 'vitest'
import { LOCAL, type Principal } from '../auth/key-store.ts'
import { Fleet } from '../fleet.ts'

const db = useDatabase()
let fleet: Fleet
beforeAll(() => {
  fleet = new Fleet(db.database)
})

const operations = Object.entries(OPERATIONS).flatMap(([aggregate, verbs]) =>
  Object.entries(verbs as Record<string, Operation>).map(([verb, one]) => [`${aggregate}.${verb}`, one] as const),
)

const call = (principal: Principal, name: string, request: unknown): Promise<unknown> => {
  const [aggregate, verb] = name.split('.')
  const methods = fleet.as(principal) as unknown as Record<
    string,
    Record<string, (request: unknown) => Promise<unknown>>
  >
  return methods[aggregate!]![verb!]!(request)
}

const codeOf = (asked: Promise<unknown>): Promise<string> =>
  asked.then(
    () => 'done',
    (error: { code?: string }) => error.code ?? String(error),
  )

const refusalsOf = async (by: string) =>
  (await fleet.audit.list({ limit: 1_000 })).filter((entry) => entry.by === by && entry.refused !== undefined)

describe('every operation requires its scope before anything else', () => {
  test.each(operations)('%s', async (name, { scope }) => {
    const others = SCOPES.filter((one) => one !== scope && one !== 'admin')
    const id = `without-${name}`
    // Not even the shape of the request is checked.
    expect(await codeOf(call({ id, scopes: others }, name, 5))).toBe('FORBIDDEN')
    expect(await refusalsOf(id)).toMatchObject([{ action: name, refused: 'FORBIDDEN', matched: 1, changed: 0 }])
    if (scope !== 'admin') expect(await codeOf(call({ id: 'with', scopes: [scope] }, name, 5))).not.toBe('FORBIDDEN')
  })
})

describe('the dispatcher', () => {
  test('accepts a text instead of an object with the id', async () => {
    const [task] = await fleet.store.enqueue([newTask({ queue: 'door' })])
    const id = task!._id.toHexString()
    const { tasks, audit } = fleet.as(LOCAL)
    expect(await tasks.show(id)).toMatchObject({ _id: id, status: 'pending' })
    expect(await tasks.cancel(id)).toMatchObject({ matched: 1, changed: 1 })
    expect(await audit.list({ id })).toMatchObject([{ action: 'cancel', by: 'local', changed: 1 }])
    await tasks.remove(id)
    expect(await codeOf(tasks.show(id))).toBe('NOT_FOUND')
  })

  test('reports unknown and invalid fields of a request', async () => {
    const wrong = fleet.as(LOCAL).tasks.cancel({ id: 'f'.repeat(24), dryRum: true } as never)
    await expect(wrong).rejects.toMatchObject({ code: 'UNKNOWN_FIELD', message: expect.stringContaining('dryRum') })
    await expect(fleet.as(LOCAL).queues.limit({ name: 'door', limits: { concurrency: 1.5 } })).rejects.toMatchObject({
      code: 'OUT_OF_RANGE',
      field: 'concurrency',
    })
  })

  test('rejects a key beyond its queues, changes nothing, and records the refusal', async () => {
    const [task] = await fleet.store.enqueue([newTask({ queue: 'theirs' })])
    const id = task!._id.toHexString()
    const limited: Principal = { id: 'limited', scopes: ['read', 'write', 'control'] as Scope[], queues: ['mine'] }
    const { tasks, queues, errors } = fleet.as(limited)
    expect(await codeOf(tasks.cancel(id))).toBe('QUEUE_NOT_ALLOWED')
    expect(await codeOf(tasks.show(id))).toBe('QUEUE_NOT_ALLOWED')
    expect(await codeOf(queues.pause('theirs'))).toBe('QUEUE_NOT_ALLOWED')
    expect(await codeOf(errors.list())).toBe('FORBIDDEN')
    expect(await codeOf(tasks.enqueue({ name: 'test', queue: 'theirs' }))).toBe('QUEUE_NOT_ALLOWED')
    expect(await fleet.store.find(task!._id)).toEqual(task)
    const refused = (await refusalsOf('limited')).map(({ action, refused }) => `${action} ${refused}`)
    expect(refused.sort()).toEqual([
      'errors.list FORBIDDEN',
      'queues.pause QUEUE_NOT_ALLOWED',
      'tasks.cancel QUEUE_NOT_ALLOWED',
      'tasks.enqueue QUEUE_NOT_ALLOWED',
      'tasks.show QUEUE_NOT_ALLOWED',
    ])
  })

  test('repeated refusals write one entry', async () => {
    const nobody: Principal = { id: 'nobody', scopes: [] }
    for (let time = 0; time < 50; time += 1) await codeOf(fleet.as(nobody).keys.list())
    expect(await refusalsOf('nobody')).toHaveLength(1)
  })

  test('stores a list as a whole or not at all, and reports each invalid entry', async () => {
    const { tasks } = fleet.as(LOCAL)
    const list = (...inputs: object[]) =>
      tasks.enqueueMany({ tasks: inputs.map((input) => ({ name: 'test', queue: 'list', ...input })) })
    expect(await list({}, { priority: 8 }, {})).toMatchObject([{ queue: 'list' }, { priority: 8 }, { priority: 5 }])
    const wrong = await list({}, { priority: 11 }, { runAt: 'soon' }).catch((error: unknown) => error)
    expect(wrong).toMatchObject({
      code: 'OUT_OF_RANGE',
      entries: [
        { index: 1, code: 'OUT_OF_RANGE', field: 'priority' },
        { index: 2, code: 'BAD_DATE', field: 'runAt' },
      ],
    })
    expect(await fleet.tasks.countDocuments({ queue: 'list' })).toBe(3)
    expect(await codeOf(tasks.enqueueMany({ tasks: 'many' as never }))).toBe('BAD_REQUEST')
  })
})
