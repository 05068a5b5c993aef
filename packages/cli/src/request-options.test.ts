import type { Operation } from '@taskfleet/protocol'
import { shapes } from '@taskfleet/protocol/internal'
import { Command } from 'commander'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { type RequestForm, requestOptions } from './request-options.ts'

const operation = (request: z.ZodType, more: Partial<Operation> = {}): Operation => ({
  ...{ scope: 'read', summary: 'Test it', request, answer: null, writes: false, rest: null, cli: 'test' },
  ...more,
})

/** What a command line becomes as a request. */
async function requestOf(one: Operation, form: RequestForm, ...argv: string[]): Promise<unknown> {
  const command = new Command('test').exitOverride().configureOutput({ writeErr: () => undefined })
  const take = requestOptions(command, one, form)
  let request: unknown
  command.action(async (...given: unknown[]) => {
    request = await take(given.slice(0, -2), command.opts())
  })
  await command.parseAsync(argv, { from: 'user' })
  return request
}

const changes = z.object({
  rev: z.int(),
  queue: shapes.queueName.optional(),
  lazy: z.boolean().optional(),
  until: shapes.date.nullable().optional().describe('Until then; `null` for ever'),
  names: z.array(z.string()).nullable().optional(),
  timeout: shapes.duration.nullable().optional().describe('How long; `null` for no limit'),
  states: z.array(shapes.eventStatus).optional(),
  options: z.object({ priority: shapes.priority.optional(), retry: z.object({}).optional() }).optional(),
})
const edit = operation(z.object({ id: shapes.hexId, rev: z.int().optional(), changes }), { body: 'changes' })
const form: RequestForm = { arguments: { '<id>': 'id' }, nested: ['options'] }
const id = 'a'.repeat(24)

test('fields of the request, of its body and of objects in it are options of one command', async () => {
  const line = [
    id,
    '--rev',
    '2',
    '--queue',
    'mail',
    '--priority',
    'high',
    '--retry',
    '{"a":1}',
    '--until',
    '2099-01-01',
  ]
  expect(await requestOf(edit, form, ...line, '--states', 'failed,finished', '--names', 'none', '--lazy')).toEqual({
    id,
    rev: 2,
    changes: {
      ...{
        queue: 'mail',
        until: '2099-01-01T00:00:00.000Z',
        states: ['failed', 'finished'],
        names: ['none'],
        lazy: true,
      },
      options: { priority: 'high', retry: { a: 1 } },
    },
  })
})

test('a nullable field is removed by none, dates and lists by a flag', async () => {
  expect(await requestOf(edit, form, id, '--timeout', 'none', '--no-until', '--no-names', '--no-lazy')).toEqual({
    id,
    changes: { timeout: null, until: null, names: null, lazy: false },
  })
  expect(await requestOf(edit, form, id, '--until', 'none')).toEqual({ id, changes: { until: null } })
})

test('an invalid value, an unknown choice and an empty change are rejected', async () => {
  const refused = (...argv: string[]) => expect(requestOf(edit, form, ...argv)).rejects
  await refused('nonsense', '--lazy').toMatchObject({ code: 'BAD_ID' })
  await refused(id, '--until', 'soon').toMatchObject({ code: 'BAD_DATE', message: expect.stringContaining('--until') })
  await refused(id, '--timeout', 'soon').toThrow(/--timeout.*duration/)
  await refused(id, '--states', 'failed,done').toThrow(/--states.*finished/)
  await refused(id, '--rev', '1').toMatchObject({
    code: 'BAD_REQUEST',
    message: expect.stringMatching(/--queue.*--retry/),
  })
})

test('a command declares other flags, hidden fields, defaults and a flag for each value', async () => {
  const request = z.object({
    name: z.string(),
    limit: z.int().optional(),
    position: z.enum(['front', 'back']).optional(),
    cursor: z.string().optional(),
  })
  const other: RequestForm = {
    flags: { name: { flag: '--title <text>' }, position: { values: { front: 'first', back: 'last' } } },
    hide: ['cursor'],
    defaults: { limit: 5 },
  }
  const list = operation(request)
  expect(await requestOf(list, other, '--title', 'x', '--back')).toEqual({ name: 'x', limit: 5, position: 'back' })
  await expect(requestOf(list, other)).rejects.toThrow(/required option '--title <text>'/)
  await expect(requestOf(list, other, '--title', 'x', '--cursor', 'y')).rejects.toThrow(/unknown option '--cursor'/)
  await expect(requestOf(list, other, '--title', 'x', '--back', '--front')).rejects.toThrow(/cannot be used with/)
})

test('help has the descriptions of the schema, in the words of the command line', () => {
  const command = new Command('test')
  requestOptions(command, edit, form)
  const help = command.helpInformation()
  expect(help).toMatch(/--until <date> +until then; --no-until for ever/)
  expect(help).toMatch(/--timeout <duration\|none> +how long; none for no limit/)
  expect(help).toMatch(/--states <names> +\(choices: "scheduled", /)
})
