import { readFileSync, writeFileSync } from 'node:fs'
import specs from '@asyncapi/specs'
import { gatewayRules } from '@taskfleet/gateway/internal'
import { VERSION } from '@taskfleet/protocol'
import { type AnyAck, ask, connect, LOOPBACK, ownQueue } from '@taskfleet/testkit/fleet/test-sockets'
import { eventually, useFleet } from '@taskfleet/testkit/fleet/use-fleet'
import { Ajv, type ValidateFunction } from 'ajv'
import { Ajv2020 } from 'ajv/dist/2020.js'
import { beforeAll, describe, expect, test } from 'vitest'
import { parse, stringify } from 'yaml'
import { asyncapi } from './asyncapi.ts'
import { type Schema, WireTypes } from './wire-types.ts'

interface Message {
  name: string
  payload: Schema
}
interface Operation {
  action: 'send' | 'receive'
  channel: { $ref: string }
  messages: { $ref: string }[]
  reply?: { messages: { $ref: string }[] }
  'x-scope'?: string
}
interface AsyncApi {
  channels: Record<string, { messages: Record<string, { $ref: string }> }>
  operations: Record<string, Operation>
  components: { messages: Record<string, Message>; schemas: Record<string, Schema> }
}

const file = new URL('../docs/asyncapi.yaml', import.meta.url)
const made = JSON.parse(JSON.stringify(asyncapi(VERSION))) as AsyncApi
if (process.env.TASKFLEET_WRITE_DOCS === '1') {
  const note = '# Made from packages/protocol/src/messages.ts by scripts/asyncapi.test.ts with TASKFLEET_WRITE_DOCS=1\n'
  writeFileSync(file, note + stringify(made, { lineWidth: 120, aliasDuplicateObjects: false }))
}
const document = parse(readFileSync(file, 'utf8')) as AsyncApi
const ajv = new Ajv2020({ strict: false, validateFormats: false, allErrors: true })
ajv.addSchema({ $id: 'document', ...document })

/** What a reference of the document leads to, through further references. */
function at<T>(reference: { $ref: string }): T {
  const found = reference.$ref
    .split('/')
    .slice(1)
    .reduce<unknown>((one, key) => (one as Record<string, unknown>)[key.replaceAll('~1', '/')], document)
  return typeof found === 'object' && found !== null && '$ref' in found
    ? at<T>(found as { $ref: string })
    : (found as T)
}

/** The messages of a channel in one direction, with their answers. */
function described(channel: string, action: Operation['action']) {
  const operations = Object.values(document.operations).filter(
    (one) => one.action === action && one.channel.$ref === `#/channels/${channel}`,
  )
  return new Map(
    operations.map((operation) => {
      const { name, payload } = at<Message>(operation.messages[0]!)
      const answer = operation.reply === undefined ? undefined : at<Message>(operation.reply.messages[0]!).payload
      return [name, { payload, answer, scope: operation['x-scope'] }]
    }),
  )
}

const validators = new Map<Schema, ValidateFunction>()
/** What a schema of the document finds wrong with a body. */
function faults(schema: Schema, body: unknown): string[] {
  const known = validators.get(schema)
  // References are to the document, wherever the schema stands in it.
  const absolute = JSON.parse(JSON.stringify(schema).replaceAll('"#/', '"document#/')) as Schema
  const validate = known ?? ajv.compile(absolute)
  validators.set(schema, validate)
  return validate(body) ? [] : validate.errors!.map(({ instancePath, message }) => `${instancePath} ${message}`)
}

describe('docs/asyncapi.yaml', () => {
  test('is what the messages of the protocol say; TASKFLEET_WRITE_DOCS=1 writes it', () => {
    expect(document).toEqual(made)
  })

  test('is AsyncAPI 3.0', () => {
    const published = new Ajv({ strict: false, validateFormats: false, allErrors: true, logger: false })
    const validate = published.compile(specs.schemasWithoutId['3.0.0'] as object)
    expect(validate(document) ? [] : validate.errors).toEqual([])
  })

  test('leads nowhere else than to what is in it', () => {
    const references = [...JSON.stringify(document).matchAll(/"\$ref":"([^"]+)"/g)].map(([, to]) => to!)
    expect(references.filter((to) => !to.startsWith('#/') || at({ $ref: to }) === undefined)).toEqual([])
    const { messages, schemas } = document.components
    const unused = [
      ...Object.keys(messages).map((name) => `#/components/messages/${name}`),
      ...Object.keys(schemas).map((name) => `#/components/schemas/${name}`),
    ].filter((to) => !references.includes(to))
    // Rows of collections, which the schema of a row names in words, and what a refused connection carries.
    expect(unused.map((to) => to.split('/').at(-1))).toEqual([
      'WorkerRow',
      'ScheduleRow',
      'EventRow',
      'TaskConnectError',
    ])
    for (const { messages: ofChannel } of Object.values(document.channels)) {
      for (const [key, reference] of Object.entries(ofChannel)) expect(at<Message>(reference).name).toBe(key)
    }
  })

  test('has the messages that the gateway takes, each with the scope that it needs', () => {
    const rules = gatewayRules({ fleet: {} } as Parameters<typeof gatewayRules>[0])
    const scopes = Object.entries(rules).map(([event, { scope }]) => [event, scope])
    const inDocument = [...described('gateway', 'receive')].map(([event, { scope }]) => [event, scope])
    expect(inDocument.sort()).toEqual(scopes.sort())
  })
})

test('docs/protocol.md names every message', () => {
  const prose = readFileSync(new URL('../docs/protocol.md', import.meta.url), 'utf8')
  const events = ['gateway', 'task', 'host'].flatMap((channel) => [
    ...described(channel, 'receive').keys(),
    ...described(channel, 'send').keys(),
  ])
  expect(events.filter((event) => !prose.includes(`\`${event}\``) && !prose.includes(`\`${event} {`))).toEqual([])
})

describe('the document and the types of the protocol say the same', () => {
  let types: WireTypes
  beforeAll(() => {
    types = new WireTypes(document.components.schemas)
  })

  test.each([
    ['gateway', 'receive', 'ClientToGateway'],
    ['gateway', 'send', 'GatewayToClient'],
    ['task', 'receive', 'ClientToTask'],
    ['task', 'send', 'TaskToClient'],
    ['relay', 'receive', 'ClientToTask'],
    ['relay', 'send', 'TaskToClient'],
    ['host', 'receive', 'ClientToHost'],
    ['host', 'send', 'HostToClient'],
    ['hostRelay', 'receive', 'ClientToHost'],
    ['hostRelay', 'send', 'HostToClient'],
  ] as const)('what a %s may %s', (channel, action, type) => {
    const ours = types.messages(type)
    const theirs = described(channel, action)
    expect([...theirs.keys()].sort()).toEqual([...ours.keys()].sort())
    for (const [event, { body, answer }] of ours) {
      const { payload, answer: reply } = theirs.get(event)!
      expect(types.differences(body, payload, event)).toEqual([])
      expect(reply === undefined).toBe(answer === undefined)
      if (answer === undefined || reply === undefined) continue
      const [done, refused] = reply.oneOf!
      expect(types.differences(answer.done, done!, `${event}'s answer`)).toEqual([])
      expect(types.differences(answer.refused, refused!, `${event}'s refusal`)).toEqual([])
    }
  })

  test('schemas that have the name of a type', () => {
    const named = Object.entries(document.components.schemas).filter(([name]) => types.named(name) !== undefined)
    expect(named.map(([name]) => name)).toEqual(
      expect.arrayContaining(['TaskRow', 'WorkerRow', 'QueueRow', 'ScheduleRow', 'ErrorRow', 'TaskConnectError']),
    )
    expect(named.flatMap(([name, schema]) => types.differences(types.named(name)!, schema, name))).toEqual([])
  })
})

/** What the examples are about. */
interface Scene {
  queue: string
  running: string
  waiting: string
  ended: string
  worker: string
  fingerprint: string
}
type Examples = Record<string, { good: object[]; bad: unknown[] }>

const missing = 'f'.repeat(24)

/** Requests that the gateway takes, and those that it and the document refuse. */
function examples({ queue, running, waiting, ended, worker, fingerprint }: Scene): Examples {
  const selection = {
    good: [{ ids: [missing] }, { filter: { queue: 'nowhere' }, reason: 'a test' }, { id: ended, dryRun: true }],
    bad: [
      {},
      { id: 'x' },
      { id: ended, ids: [] },
      { ids: ended },
      { ids: [1] },
      { filter: [] },
      { filter: { $where: '1' } },
      { id: ended, dryRun: 'yes' },
      { id: ended, reason: 'x'.repeat(501) },
      { id: ended, all: true },
      null,
      [],
      'x',
    ],
  }
  const ofTask = { good: [{ id: ended }], bad: [{}, { id: 'x' }, { id: 1 }, { id: ended, ids: [] }, null] }
  return {
    subscribeQuery: {
      good: [
        {},
        { filter: { queue }, sort: { priority: -1, _id: 1 }, limit: 1_000, fields: ['status', 'input.steps'] },
        { filter: { $or: [{ status: { $in: ['failed'] } }, { 'input.a': { $exists: true } }] }, limit: 1 },
        { filter: { queue }, resume: { epoch: 'gone', seq: 3 } },
        { collection: 'workers' },
        { collection: 'errors', sort: { lastSeenAt: -1 } },
      ],
      bad: [
        { collection: 'keys' },
        { filter: 'x' },
        { filter: { $where: '1' } },
        { filter: { $or: [] } },
        { filter: { $or: {} } },
        { filter: { $and: [{ $expr: {} }] } },
        { sort: { priority: 2 } },
        { sort: ['priority'] },
        { sort: { name: 1, queue: 1, rev: 1, status: 1, lazy: 1 } },
        { limit: 0 },
        { limit: 1_001 },
        { limit: 1.5 },
        { fields: 'status' },
        { fields: [1] },
        { resume: { epoch: 'a' } },
        { resume: { epoch: 'a', seq: -1 } },
        { resume: { epoch: 'a', seq: 1, more: 1 } },
        { skip: 1 },
        { filters: {} },
        [],
        null,
      ],
    },
    unsubscribeQuery: {
      good: [{ subscription: 'q_none' }],
      bad: [{}, { subscription: 1 }, { subscription: 'x'.repeat(65) }, { subscription: 'q', all: true }],
    },
    subscribeStats: {
      good: [{}, { filter: { queue } }],
      bad: [{ filter: [] }, { filter: { $where: '1' } }, { queue }, null],
    },
    subscribeAttention: { good: [{}], bad: [{ filter: {} }, null] },
    // What it takes depends on what the connection holds: see the client in Python.
    checksumQuery: { good: [], bad: [{}, { subscription: 1 }, { subscription: 'q', all: true }] },
    // Here a connection without a session, which has nothing to renew.
    renewSession: { good: [], bad: [{}, { token: 1 }, { token: 'x'.repeat(2_001) }, { token: 'ey', key: 'tf' }, null] },
    enqueue: {
      good: [
        { name: 'x', queue },
        { name: 'a.b:c-d_e', version: 2, input: { a: [1, null] }, queue, priority: 'high', lazy: true },
        { name: 'x', queue, priority: 10, runAt: '2099-01-01', deadline: '2099-01-02T00:00:00Z', position: 'front' },
        { name: 'x', queue, key: 'k', keyPolicy: 'return', maxAttempts: 50, after: waiting },
        { name: 'x', queue, key: 'd', debounce: '1.5s' },
        { name: 'x', queue, key: 't', throttle: 1_000 },
      ],
      bad: [
        {},
        { name: '' },
        { name: '1x' },
        { name: 'x'.repeat(129) },
        { name: 'x', version: 0 },
        { name: 'x', version: 1.5 },
        { name: 'x', priority: 11 },
        { name: 'x', priority: 'urgent' },
        { name: 'x', runAt: 'tomorrow' },
        { name: 'x', runAt: 5 },
        { name: 'x', deadline: null },
        { name: 'x', position: 'middle' },
        { name: 'x', lazy: 'yes' },
        { name: 'x', maxAttempts: 51 },
        { name: 'x', after: 'x' },
        { name: 'x', _id: '1' },
        { name: 'x', queue: 'a b' },
        { name: 'x', key: '' },
        { name: 'x', key: 'k', keyPolicy: 'ignore' },
        { name: 'x', debounce: '1s' },
        { name: 'x', key: 'k', debounce: 'a while' },
        { name: 'x', key: 'k', debounce: '1s', throttle: '1s' },
        { name: 'x', key: 'k', debounce: '1s', runAt: '2099-01-01' },
        { name: 'x', status: 'completed' },
        { name: 'x', colour: 'red' },
        null,
        'x',
      ],
    },
    cancel: selection,
    pause: selection,
    resume: selection,
    retry: selection,
    replay: {
      good: [...selection.good, { id: ended, input: { steps: [] } }],
      bad: [...selection.bad, { ids: [ended], input: {} }, { id: ended, priority: 1 }],
    },
    reprioritise: {
      good: [...selection.good.map((one) => ({ ...one, priority: 'low' })), { id: waiting, position: 'front' }],
      bad: [...selection.bad, { id: waiting }, { id: waiting, priority: 0 }, { id: waiting, position: 'middle' }],
    },
    edit: {
      good: [
        { id: waiting, changes: { priority: 3, runAt: '2099-01-01T00:00:00Z', deadline: null }, reason: 'a test' },
        { id: waiting, changes: { queue, input: { steps: [] }, lazy: false, maxAttempts: 3, position: 'back' } },
      ],
      bad: [
        { id: waiting },
        { changes: { lazy: true } },
        { id: waiting, changes: {} },
        { id: waiting, changes: { status: 'completed' } },
        { id: waiting, changes: { runAt: null } },
        { id: waiting, rev: 0, changes: { lazy: true } },
        { id: waiting, changes: { lazy: true }, dryRun: true },
      ],
    },
    explain: ofTask,
    coverage: { good: [{}], bad: [{ name: 'x' }, null] },
    taskLog: {
      good: [{ id: ended }, { id: ended, attempt: 1, before: { attempt: 1, seq: 5 }, limit: 2_000 }],
      bad: [...ofTask.bad, { id: ended, attempt: 0 }, { id: ended, limit: 0 }, { id: ended, before: { seq: 1 } }],
    },
    audit: { good: [{}, { id: ended, limit: 1 }], bad: [{ id: 'x' }, { limit: 0 }, { limit: 10_001 }, { by: 'me' }] },
    markError: {
      good: [
        { fingerprint, state: 'resolved' },
        { fingerprint, state: 'ignored', until: '2099-01-01T00:00:00Z' },
      ],
      bad: [
        { fingerprint },
        { fingerprint: '', state: 'open' },
        { fingerprint, state: 'gone' },
        { fingerprint, state: 'ignored', until: 'later' },
        { fingerprint, state: 'open', by: 'me' },
      ],
    },
    controlWorker: {
      good: [
        { worker, action: 'drain' },
        { worker, action: 'resume' },
      ],
      bad: [{ worker }, { worker: '', action: 'drain' }, { worker, action: 'stop' }, { worker: 1, action: 'drain' }],
    },
    controlQueue: {
      good: [
        { queue, action: 'pause', reason: 'a test' },
        { queue, action: 'resume' },
      ],
      bad: [
        { queue },
        { queue: 'a b', action: 'pause' },
        { queue, action: 'stop' },
        { queue, action: 'pause', by: 'me' },
      ],
    },
    taskTicket: { good: [{ id: running }], bad: ofTask.bad },
    hostTicket: { good: [{ id: running }], bad: ofTask.bad },
    operation: {
      good: [
        { name: 'tasks.coverage' },
        { name: 'tasks.show', request: { id: ended } },
        { name: 'queues.list', request: {} },
      ],
      bad: [{}, { name: 5 }, { name: 'tasks.show', request: ended, more: 1 }],
    },
  }
}

describe('the gateway and the document agree on requests', () => {
  const fleet = useFleet()

  test('what the one takes or refuses, the other does too, and answers are as described', async () => {
    const queue = ownQueue()
    const runner = await fleet.runner({ queue, listen: LOOPBACK })
    const running = await fleet.post([{ do: 'waitForAbort' }], { queue })
    const failed = await fleet.post(
      [
        { do: 'log', message: 'a line' },
        { do: 'fail', fatal: true, code: 'ODD' },
      ],
      { queue },
    )
    const waiting = await fleet.post([], { queue, runAt: new Date('2099-01-01') })
    await fleet.ended(failed._id)
    await fleet.runsAt(runner, running)
    const { errors } = await eventually(async () => {
      const found = await fleet.database.db.collection('errors').find({ code: 'ODD' }).toArray()
      return found.length > 0 && { errors: found }
    })
    const asked = examples({
      queue,
      running: running._id.toHexString(),
      waiting: waiting._id.toHexString(),
      ended: failed._id.toHexString(),
      worker: runner.id,
      fingerprint: String(errors[0]!._id),
    })
    const documented = described('gateway', 'receive')
    expect(Object.keys(asked).sort()).toEqual([...documented.keys()].sort())
    const wrong: unknown[] = []
    for (const [event, { good, bad }] of Object.entries(asked)) {
      const { payload, answer } = documented.get(event)!
      // Each with a connection of its own: a gateway limits how much one may ask.
      const socket = await connect(fleet, runner.url!)
      const outcome = async (request: unknown): Promise<AnyAck> => {
        const said = await ask(socket, event, request)
        wrong.push(...faults(answer!, said).map((fault) => [event, 'answer', request, fault, said]))
        return said
      }
      for (const request of good) {
        const said = await outcome(request)
        if (!said.ok) wrong.push([event, 'refused', request, said.error])
        wrong.push(...faults(payload, request).map((fault) => [event, 'undocumented', request, fault]))
      }
      for (const request of bad) {
        const said = await outcome(request)
        if (said.ok || ['INTERNAL', 'RATE_LIMITED'].includes(said.error.code))
          wrong.push([event, 'taken', request, said])
        if (faults(payload, request).length === 0) wrong.push([event, 'documented', request])
      }
      socket.disconnect()
    }
    expect(wrong).toEqual([])
  })
})
