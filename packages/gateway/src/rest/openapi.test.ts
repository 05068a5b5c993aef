import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { Validator } from '@seriousme/openapi-schema-validator'
import { makeKey, type RestAnswer, startRest } from '@taskfleet/testkit/fleet/rest-calls'
import { ownQueue } from '@taskfleet/testkit/fleet/test-sockets'
import { useFleet } from '@taskfleet/testkit/fleet/use-fleet'
import { taskFactory } from '@taskfleet/testkit/task-factory'
import { Ajv2020 } from 'ajv/dist/2020.js'
import openapiTS, { astToString } from 'openapi-typescript'
import ts from 'typescript'
import { beforeAll, describe, expect, test } from 'vitest'

const fleet = useFleet()

interface Operation {
  summary?: string
  operationId?: string
  security?: unknown
  responses: Record<string, { content?: Record<string, { schema: unknown }> }>
}
interface OpenApi {
  openapi: string
  paths: Record<string, Record<string, Operation>>
  components: object
}

const read = async (url: string | undefined): Promise<OpenApi> =>
  (await (await fetch(`${url}/api/openapi.json`)).json()) as OpenApi

test('the document is valid OpenAPI 3.1, and has the summary and scope of every operation', async () => {
  const { gateway } = await startRest(fleet)
  const document = await read(gateway.url)
  expect(await new Validator().validate(document as never)).toEqual({ valid: true })
  expect(document.openapi).toBe('3.1.0')
  const operations = Object.values(document.paths).flatMap((path) => Object.values(path))
  expect(new Set(operations.map(({ operationId }) => operationId)).size).toBe(operations.length)
  for (const { summary, security, responses } of operations) {
    expect([typeof summary, Array.isArray(security)]).toEqual(['string', true])
    expect(Object.keys(responses)).toEqual(expect.arrayContaining(['401', '403', '429', '500']))
  }
})

test('the page to try it loads nothing from elsewhere', async () => {
  const { gateway } = await startRest(fleet)
  const page = await fetch(`${gateway.url}/api/docs`)
  const text = await page.text()
  expect(page.headers.get('content-security-policy')).toContain("default-src 'none'; script-src 'self'")
  const parts = [...text.matchAll(/(?:src|href)="([^"]+)"/g)].map(
    ([, address]) => new URL(address!, `${gateway.url}/api/docs`),
  )
  expect(parts.length).toBeGreaterThan(3)
  expect(text).not.toMatch(/<script>|<style>|onload=/)
  for (const part of parts) {
    expect(part.origin).toBe(gateway.url)
    expect((await fetch(part)).status).toBe(200)
  }
})

describe('answers match the document', () => {
  let document: OpenApi
  const ajv = new Ajv2020({ strict: false, validateFormats: false, allErrors: true })
  const compiled = new Map<string, ReturnType<typeof ajv.compile>>()
  const faults = (method: string, path: string, { status, headers, text }: RestAnswer): unknown => {
    const described = document.paths[`/api/v1${path}`]?.[method.toLowerCase()]?.responses[status]
    if (described === undefined) return `${method} ${path} says nothing of ${status}`
    if (described.content === undefined) return text === '' ? null : 'a body'
    const type = headers.get('content-type')!.split(';')[0]!
    if (described.content[type] === undefined) return `${method} ${path} ${status} says nothing of ${type}`
    const { schema } = described.content[type]
    const key = JSON.stringify(schema)
    const validate = compiled.get(key) ?? ajv.compile({ ...(schema as object), components: document.components })
    compiled.set(key, validate)
    return validate(JSON.parse(text)) ? null : validate.errors
  }
  beforeAll(async () => {
    const { gateway } = await startRest(fleet)
    document = await read(gateway.url)
  })

  test('of every route, for valid and invalid requests', async () => {
    const { call } = await startRest(fleet)
    const make = taskFactory(fleet.fleet.store)
    const queue = ownQueue()
    const runner = await fleet.runner({ queue: ownQueue() })
    const [pending, running, failed, blocked] = [
      await make.pending({ queue, key: 'k' }),
      await make.running({ queue }),
      await make.failed({ queue }),
      await make.blocked({ queue }),
    ]
    const done = await make.completed({ queue })
    await fleet.fleet.errors.record({
      error: { code: 'ODD', name: 'E', message: 'm', fingerprint: 'odd' },
      task: failed._id,
      name: 'x',
      version: 1,
      host: 'h',
    })
    const fleetEvents = fleet.fleet.eventsFor()
    const listens = await fleetEvents.createCallback({ event: 'Documented', task: 'x', defaults: { queue } })
    const scheduled = await fleetEvents.post({ name: 'Documented', scheduledFor: '2099-01-01T00:00:00Z' })
    const finished = await fleetEvents.post({ name: 'NobodyListens' })
    const { id: keyId } = await fleet.fleet.keysFor().create({ name: 'documented', scopes: ['write'] })
    await fleet.fleet.schedulesFor().create({ _id: 'documented', task: 'x', options: { queue }, cron: '0 0 1 1 *' })
    const planned = { name: 'documented' }
    const asked: [method: string, path: string, params: Record<string, string>, query?: string, body?: unknown][] = [
      ['POST', '/tasks', {}, '', { name: 'x', queue }],
      ['POST', '/tasks', {}, '', [{ name: 'x', queue, deadline: '2030-01-01T00:00:00Z' }]],
      ['POST', '/tasks', {}, '', [{ name: 'x', priority: 0 }]],
      ['GET', '/tasks', {}, '?limit=2'],
      ['GET', '/tasks', {}, '?fields=name'],
      ['GET', '/tasks', {}, '?limit=0'],
      ...[pending, running, failed, blocked, done].flatMap(({ _id }) =>
        ['', '/attempts', '/log', '/explain', '/audit'].map((rest): (typeof asked)[number] => [
          'GET',
          `/tasks/{id}${rest}`,
          { id: _id.toHexString() },
        ]),
      ),
      ['GET', '/tasks/{id}', { id: 'x' }],
      ['PATCH', '/tasks/{id}', { id: pending._id.toHexString() }, '', { priority: 3 }],
      ['PATCH', '/tasks/{id}', { id: pending._id.toHexString() }, '', { priority: 3, rev: 1 }],
      ...['pause', 'resume', 'reprioritise', 'cancel', 'retry', 'replay'].flatMap((command): typeof asked => [
        [
          'POST',
          `/tasks/{id}/${command}`,
          { id: pending._id.toHexString() },
          '',
          command === 'reprioritise' ? { priority: 2 } : {},
        ],
        [
          'POST',
          `/tasks/${command}`,
          {},
          '',
          { filter: { queue }, dryRun: true, ...(command === 'reprioritise' ? { priority: 2 } : {}) },
        ],
      ]),
      ['DELETE', '/tasks/{id}', { id: done._id.toHexString() }],
      ['DELETE', '/tasks/{id}', { id: running._id.toHexString() }],
      ['GET', '/workers', {}],
      ['POST', '/workers/{worker}/drain', { worker: runner.id }],
      ['POST', '/workers/{worker}/resume', { worker: runner.id }],
      ['PATCH', '/queues/{name}', { name: queue }, '', { paused: true, reason: 'r' }],
      ['GET', '/queues', {}],
      ['GET', '/errors', {}],
      ['PATCH', '/errors/{fingerprint}', { fingerprint: 'odd' }, '', { state: 'resolved' }],
      ['GET', '/coverage', {}],
      ['GET', '/stats', {}],
      ['POST', '/keys', {}, '', { name: 'n', scopes: ['read'], expiresAt: '2999-01-01T00:00:00Z' }],
      ['GET', '/keys', {}],
      ['GET', '/keys/{id}', { id: keyId }],
      ['GET', '/keys/{id}', { id: 'none' }],
      ['PATCH', '/keys/{id}', { id: keyId }, '', { scopes: ['read'], queues: [queue], expiresAt: null }],
      ['PATCH', '/keys/{id}', { id: keyId }, '', {}],
      ['DELETE', '/keys/{id}', { id: 'none' }],
      ['GET', '/audit', {}, '?limit=2'],
      ['GET', '/audit', {}, '?cursor=x'],
      ['GET', '/retention', {}],
      ['GET', '/set-aside', {}],
      ['PATCH', '/retention', {}, '', { completed: 86_400_000, failed: null }],
      ['PATCH', '/retention', {}, '', {}],
      ['POST', '/prune', {}, '', { statuses: ['failed'], olderThanMs: 0, name: 'nobody', dryRun: true }],
      ['POST', '/sessions', {}],
      ['GET', '/callbacks', {}, '?event=Documented'],
      ['POST', '/callbacks', {}, '', { event: 'Other', task: 'x' }],
      ['POST', '/callbacks', {}, '', { event: 'Other' }],
      ['GET', '/callbacks/{id}', { id: listens._id }],
      ['PATCH', '/callbacks/{id}', { id: listens._id }, '', { version: 2 }],
      ['PATCH', '/callbacks/{id}', { id: listens._id }, '', { version: 3, rev: 1 }],
      ['DELETE', '/callbacks/{id}', { id: listens._id }],
      ['GET', '/events', {}, '?status=scheduled'],
      ['POST', '/events', {}, '', { name: 'NobodyListens', props: { a: 1 } }],
      ['POST', '/events', {}, '', { name: '' }],
      ['GET', '/events/{id}', { id: scheduled._id }],
      ['PATCH', '/events/{id}', { id: scheduled._id }, '', { priority: 2 }],
      ['DELETE', '/events/{id}', { id: scheduled._id }],
      ['POST', '/events/{id}/cancel', { id: scheduled._id }, '', { reason: 'enough' }],
      ['DELETE', '/events/{id}', { id: finished._id }],
      ['GET', '/schedules', {}, '?limit=5'],
      ['POST', '/schedules', {}, '', { _id: 'other', task: 'x', options: { queue }, every: '1h' }],
      ['POST', '/schedules', {}, '', { _id: 'other', task: 'x', options: { queue }, every: '2h' }],
      ['POST', '/schedules', {}, '', { _id: 'other', task: 'x', cron: '99 * * * *' }],
      ['GET', '/schedules/preview', {}, '?cron=0+3+*+*+*&timeZone=Europe/Berlin&count=3'],
      ['GET', '/schedules/preview', {}, '?cron=0+3+*+*+*&timeZone=Mars'],
      ['GET', '/schedules/{name}', planned],
      ['PATCH', '/schedules/{name}', planned, '', { options: { priority: 'high' } }],
      ['PATCH', '/schedules/{name}', planned, '', { endsAt: null, edition: 1 }],
      ['POST', '/schedules/{name}/run', planned, '', { reason: 'to see' }],
      ['POST', '/schedules/{name}/pause', planned],
      ['POST', '/schedules/{name}/resume', planned, '', {}],
      ['DELETE', '/schedules/{name}', planned],
      ['DELETE', '/schedules/{name}', planned],
    ]
    const seen = new Set<string>()
    for (const [method, path, params, query = '', body] of asked) {
      seen.add(`${method} ${path}`)
      const address = path.replace(/\{(\w+)\}/g, (_, name: string) => params[name]!)
      expect([method, path, faults(method, path, await call(method, address + query, body))]).toEqual([
        method,
        path,
        null,
      ])
    }
    const all = Object.entries(document.paths).flatMap(([path, operations]) =>
      Object.keys(operations).map((method) => `${method.toUpperCase()} ${path.replace('/api/v1', '')}`),
    )
    expect(all.filter((one) => seen.has(one))).toHaveLength(seen.size)
    // The others are made from the table: asked about what is not there, each answers with an error that the document names.
    for (const one of all.filter((one) => !seen.has(one))) {
      const [method, path] = one.split(' ') as [string, string]
      const answer = await call(method, path.replace(/\{\w+\}/g, 'f'.repeat(24)))
      expect([one, faults(method, path, answer)]).toEqual([one, null])
    }
  })
})

const CLIENT = `
import createClient from 'openapi-fetch'
import type { paths } from './schema.ts'

export async function roundTrip(baseUrl: string, token: string, queue: string) {
  const client = createClient<paths>({ baseUrl, headers: { authorization: 'Bearer ' + token } })
  const created = await client.POST('/api/v1/tasks', { body: { name: 'download', input: { url: 'x' }, priority: 'high', queue } })
  if (created.data === undefined || !('_id' in created.data)) throw new Error(created.error?.code)
  const id: string = created.data._id
  const listed = await client.GET('/api/v1/tasks', { params: { query: { queue, sort: '-priority' } } })
  const shown = await client.GET('/api/v1/tasks/{id}', { params: { path: { id } } })
  const cancelled = await client.POST('/api/v1/tasks/{id}/cancel', { params: { path: { id } }, body: { reason: 'enough' } })
  const retried = await client.POST('/api/v1/tasks/{id}/retry', { params: { path: { id } } })
  const missing = await client.GET('/api/v1/tasks/{id}', { params: { path: { id: 'f'.repeat(24) } } })
  const status: 'pending' | 'cancelled' | undefined | string = cancelled.data?.status
  return { id, listed: listed.data?.tasks.map((task) => task._id), shown: shown.data?.priority, cancelled: status, retried: retried.data?.status, missing: missing.error?.code }
}
`

test('a client generated from the document by another tool works, and compiles', async () => {
  const { gateway } = await startRest(fleet)
  const token = await makeKey(fleet, {
    scopes: ['read', 'write', 'control'],
  })
  // Within the package, so that its imports are found.
  const packageRoot = join(dirname(fileURLToPath(import.meta.url)), '../..')
  const folder = mkdtempSync(join(packageRoot, 'node_modules/.rest-client-'))
  try {
    writeFileSync(join(folder, 'schema.ts'), astToString(await openapiTS((await read(gateway.url)) as never)))
    writeFileSync(join(folder, 'client.ts'), CLIENT)
    const program = ts.createProgram([join(folder, 'client.ts')], {
      strict: true,
      noEmit: true,
      skipLibCheck: true,
      target: ts.ScriptTarget.ES2023,
      module: ts.ModuleKind.NodeNext,
      moduleResolution: ts.ModuleResolutionKind.NodeNext,
      allowImportingTsExtensions: true,
      lib: ['lib.es2023.d.ts', 'lib.dom.d.ts', 'lib.dom.iterable.d.ts'],
      types: [],
    })
    const faults = ts
      .getPreEmitDiagnostics(program)
      .map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, '\n'))
    expect(faults).toEqual([])
    const { roundTrip } = (await import(/* @vite-ignore */ pathToFileURL(join(folder, 'client.ts')).href)) as {
      roundTrip(url: string, token: string, queue: string): Promise<{ id: string }>
    }
    const result = await roundTrip(gateway.url!, token, ownQueue())
    expect(result).toEqual({
      id: result.id,
      listed: [result.id],
      shown: 8,
      cancelled: 'cancelled',
      retried: 'pending',
      missing: 'NOT_FOUND',
    })
  } finally {
    rmSync(folder, { recursive: true })
  }
}, 60_000)
