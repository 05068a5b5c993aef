import type { Fleet } from '@taskfleet/core'
import { toFullRow } from '@taskfleet/core/internal'
import type { FleetControl } from '@taskfleet/protocol'
import { COMMANDS, type CommandAnswer, type CommandName, FleetError, type TaskRow } from '@taskfleet/protocol'
import { z } from 'zod'
import { BODY_LIMITS } from '../body.ts'
import { type RestCall, type RestRoute, route } from '../route.ts'
import * as tasks from '../schemas/tasks.ts'
import { idParams, priority, reason } from '../schemas/values.ts'
import { taskFor } from './tasks.ts'

const WHAT: Record<CommandName, string> = {
  cancel: 'End it, or ask its worker to',
  pause: 'Hold it back; a running one gives its slot up and keeps its checkpoint',
  resume: 'Let a paused one go on',
  retry: 'Let a failed or cancelled one wait again with all its tries',
  replay: 'A new task from an ended one',
  reprioritise: 'Another priority or place for one that waits',
}

/** What a command may say besides which tasks it means. */
const own: Record<CommandName, Record<string, z.ZodType>> = {
  cancel: {},
  pause: {},
  resume: {},
  retry: {},
  replay: {},
  reprioritise: {
    priority: z
      .unknown()
      .meta(z.globalRegistry.get(priority) ?? {})
      .optional(),
    position: z.enum(['front', 'back']).optional(),
  },
}

const REFUSALS = ['ALREADY_ENDED', 'ALREADY_COMPLETED', 'NOT_ENDED', 'NOT_PAUSED', 'NOT_WAITING', 'KEY_EXISTS']
const BODY_CODES = [
  'BAD_JSON',
  'BAD_STRING',
  'BAD_VALUE',
  'UNKNOWN_FIELD',
  'OUT_OF_RANGE',
  'INPUT_TOO_LARGE',
  'REQUEST_TIMEOUT',
]
const REACH = ['QUEUE_NOT_ALLOWED', 'NAME_NOT_ALLOWED']

type Command = (request: object) => Promise<CommandAnswer>
const command =
  (control: FleetControl, name: CommandName): Command =>
  (request) =>
    control[name](request as never)

/** The commands: on one task, which answers it as it is then, and on many, which says what came of it. */
export function commandRoutes({ fleet }: { fleet: Fleet }): RestRoute[] {
  return [...COMMANDS.map((name) => onOne(fleet, name)), ...COMMANDS.map(onMany)]
}

function onOne(fleet: Fleet, name: CommandName): RestRoute {
  const input = name === 'replay' ? { input: z.unknown().optional().describe("In place of the first one's") } : {}
  const body = z.strictObject({ ...own[name], ...input, reason: reason.optional() }).optional()
  return route({
    method: 'POST',
    url: `/tasks/:id/${name}`,
    scope: 'control',
    tag: 'commands',
    summary: WHAT[name],
    params: idParams,
    body: body as z.ZodType<Record<string, unknown> | undefined>,
    bodyLimit: BODY_LIMITS.one,
    answers: { [name === 'replay' ? 201 : 200]: tasks.task },
    codes: [
      ...['BAD_ID', 'NOT_FOUND', ...REACH, ...REFUSALS, ...BODY_CODES],
      ...(name === 'replay' ? ['QUEUE_FULL'] : []),
    ],
    handle: async ({ principal, control, params, body }: RestCall<unknown, Record<string, unknown> | undefined>) => {
      const answer = await command(control, name)({ ...body, id: params.id })
      const [refused] = answer.refused
      if (refused !== undefined) throw new FleetError(refused.error.code, refused.error.message)
      return toFullRow<TaskRow>('tasks', await taskFor(fleet, principal, answer.tasks?.[0] ?? params.id))
    },
  })
}

function onMany(name: CommandName): RestRoute {
  const body = z.strictObject({ ...tasks.selection, ...own[name] })
  return route({
    method: 'POST',
    url: `/tasks/${name}`,
    scope: 'control',
    tag: 'commands',
    summary: `${WHAT[name]}: all that \`ids\` or \`filter\` means`,
    body: body as z.ZodType<Record<string, unknown>>,
    bodyLimit: 2 * BODY_LIMITS.one,
    answers: { 200: tasks.commandAnswer },
    codes: ['BAD_ID', 'BAD_FILTER', 'FILTER_TOO_BIG', 'TOO_MANY', ...REACH, ...BODY_CODES, 'QUERY_TOO_SLOW'],
    handle: async ({ control, body }) => command(control, name)(body),
  })
}
