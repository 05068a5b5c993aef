import { compileFilter, ENDED_STATUSES, parseChanges, parseDate } from '@taskfleet/core/internal'
import {
  type CommandAnswer,
  type CommandRequest,
  FleetError,
  type FleetOperations,
  OPERATIONS,
  type Operation,
} from '@taskfleet/protocol'
import { given } from '@taskfleet/protocol/internal'
import { type Command, Option } from 'commander'
import type { FleetView } from './fleet-view.ts'
import type { CommandKit } from './kit.ts'
import { type Options, operationCommand } from './operation-commands.ts'
import { listChoices, type RequestForm, type Values } from './request-options.ts'
import { POSITION } from './tasks.ts'
import { IDS_AT_A_TIME } from './watch.ts'

export function taskCommands(kit: CommandKit): void {
  for (const [verb, { selects }] of Object.entries(OPERATIONS.tasks as Record<string, Operation>)) {
    if (selects === true && verb !== 'replay' && verb !== 'reprioritise') selecting(kit, verb as Verb)
  }
  const replay = selecting(kit, 'replay', {
    summary: 'make new tasks from ended ones: by id, by a filter, or of a period',
    prepare: periodSelected,
  })
  replay
    .option('--since <date>', 'only tasks that ended then or later')
    .option('--until <date>', 'only tasks that ended before')
    .addOption(endedOption())
    .option('--name <name>', 'only tasks of this name')
  selecting(kit, 'reprioritise', {
    flags: { position: POSITION },
    prepare(request) {
      const { priority, position } = request as { priority?: unknown; position?: unknown }
      if (priority === undefined && position === undefined) {
        throw new FleetError('BAD_REQUEST', 'Nothing to change: give --priority, --front or --back')
      }
      parseChanges(given({ priority, position }))
      return request
    },
  })
  operationCommand(kit, 'tasks', 'edit', {
    flags: { position: POSITION },
    prepare(request) {
      parseChanges(request.changes)
      return request
    },
    text: ({ _id, rev }) => `${_id}  changed, now at revision ${rev}`,
  })
}

const endedOption = (): Option =>
  listChoices(new Option('--status <names>', 'only tasks that ended like this'), ENDED_STATUSES)

type Verb = 'cancel' | 'pause' | 'resume' | 'retry' | 'replay' | 'reprioritise'
/** Tasks by their ids or by a filter, and the other fields of the request. */
type Selection = Values & { ids?: string[]; filter?: Record<string, unknown> }

interface SelectingForm extends RequestForm {
  summary?: string
  prepare?: (request: Selection, options: Options) => Selection
}

/** A command on tasks that are given by id or match a filter. */
function selecting(
  kit: CommandKit,
  verb: Verb,
  { prepare = (request) => request, ...form }: SelectingForm = {},
): Command {
  return operationCommand(kit, 'tasks', verb as 'cancel', {
    arguments: { '[ids...]': 'ids' },
    hide: ['id'],
    ...form,
    prepare(given, options) {
      const request = prepare(given as Selection, options)
      const { ids = [], filter } = request
      if ((ids.length === 0) === (filter === undefined)) {
        throw new FleetError('BAD_FILTER', 'Give either ids or --filter')
      }
      if (filter !== undefined) compileFilter(filter)
      return request as unknown as CommandRequest
    },
    call: (fleet, request, { view }) => changeTasks(fleet, view, verb as 'cancel', request as unknown as Selection),
  })
}

/** Changes the given or matching tasks. A missing task is refused like one that can't be changed, so that the others are changed. */
async function changeTasks(
  { tasks }: FleetOperations,
  view: FleetView,
  verb: 'cancel',
  { ids = [], ...rest }: Selection,
): Promise<CommandAnswer> {
  if (ids.length === 0) return tasks[verb](rest as unknown as CommandRequest)
  const wanted = [...new Set(ids)]
  const known = await existing(view, wanted)
  const missing = wanted.filter((id) => !known.includes(id))
  const named = known.length === 1 ? { id: known[0]! } : { ids: known }
  const answer = known.length === 0 ? { matched: 0, changed: 0, refused: [] } : await tasks[verb]({ ...rest, ...named })
  const gone = missing.map((id) => ({ id, error: { code: 'NOT_FOUND', message: 'There is no such task' } }))
  return { ...answer, refused: [...answer.refused, ...gone] }
}

async function existing(view: FleetView, ids: readonly string[]): Promise<string[]> {
  const there = new Set<string>()
  for (let at = 0; at < ids.length; at += IDS_AT_A_TIME) {
    const filter = { _id: { $in: ids.slice(at, at + IDS_AT_A_TIME) } }
    const found = await view.rows({ collection: 'tasks', filter, limit: IDS_AT_A_TIME, fields: ['status'] })
    for (const { _id } of found) there.add(_id)
  }
  return ids.filter((id) => there.has(id))
}

/** Combines the filter for a period with the filter that was given. */
function periodSelected(request: Selection, options: Options): Selection {
  const { ids = [], filter, input } = request
  const period = periodFilter(options as Period)
  const filters = [filter, period].filter((one) => one !== undefined)
  if (ids.length > 0 && filters.length > 0) {
    throw new FleetError('BAD_FILTER', 'Give either ids, or --filter and the period')
  }
  if (input !== undefined && ids.length !== 1) {
    throw new FleetError('BAD_REQUEST', "'--input' is for one task: give its id")
  }
  return period === undefined ? request : { ...request, filter: filters.length === 1 ? period : { $and: filters } }
}

interface Period {
  since?: string
  until?: string
  status?: string[]
  name?: string
}

function periodFilter({ since, until, status, name }: Period): Record<string, unknown> | undefined {
  const finishedAt = given({
    $gte: since && parseDate(since, '--since').toISOString(),
    $lt: until && parseDate(until, '--until').toISOString(),
  })
  const filter = given({
    finishedAt: Object.keys(finishedAt).length > 0 ? finishedAt : undefined,
    status: status && { $in: status },
    name,
  })
  return Object.keys(filter).length === 0 ? undefined : filter
}
