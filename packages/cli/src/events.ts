import { parseDate } from '@taskfleet/core/internal'
import { type EventRow, type EventStatus, FleetError } from '@taskfleet/protocol'
import { given, shapes } from '@taskfleet/protocol/internal'
import { type Command, Option } from 'commander'
import { followEvents } from './events-follow.ts'
import { EXIT } from './exit.ts'
import type { FleetView } from './fleet-view.ts'
import type { CommandKit } from './kit.ts'
import { operationCommand } from './operation-commands.ts'
import { listChoices } from './request-options.ts'
import { oneLine, printable, printableJson } from './text.ts'

const STATUSES = shapes.eventStatus.options
const ENDED: readonly EventStatus[] = ['finished', 'failed', 'cancelled']

export function eventCommands(kit: CommandKit): void {
  const selecting = (command: Command, statuses: readonly EventStatus[]): Command =>
    command
      .option('--since <date|id>', 'begin with events that ended since then, or after that event')
      .addOption(listChoices(new Option('--status <names>', 'only events with these statuses'), statuses))
  const follow = ({ name }: { name?: string }, view: FleetView, options: FollowOptions): Promise<number> =>
    followUntilInterrupted(view, name, options, (event) =>
      kit.print(options.json === true ? printableJson(event) : eventLine(event)),
    )
  const list = operationCommand(kit, 'events', 'list', {
    summary: 'list events, the newest first',
    hide: ['after', 'status'],
    defaults: { limit: 100 },
    prepare(request, { follow, ...options }) {
      if (follow === true) checkFollow(options)
      else if (options.since !== undefined) throw new FleetError('BAD_REQUEST', "'--since' is for --follow")
      return request
    },
    run: (_, request, { view, options }) => (options.follow === true ? follow(request, view, options) : undefined),
    call(_, { name, limit }, { view, options: { status } }) {
      const filter = given({ name, status: status && { $in: status } })
      return view.rows({ collection: 'events', filter, sort: { _id: -1 }, limit: limit! })
    },
    columns: {
      ID: (event) => event._id,
      STATUS: (event) => event.status,
      NAME: (event) => event.name,
      'SCHEDULED FOR': (event) => event.scheduledFor,
      TASKS: (event) => event.tasks.length,
      RESULT: resultText,
    },
  })
  selecting(list, STATUSES).option('--follow', 'print each event when it ends, until interrupted')
  const following = operationCommand(kit, 'events', 'list', {
    name: 'events follow',
    summary: 'print each event when it ends, until interrupted',
    hide: ['after', 'status', 'limit'],
    prepare(request, options) {
      checkFollow(options)
      return request
    },
    run: (_, request, { view, options }) => follow(request, view, options),
  })
  selecting(following, ENDED)
  operationCommand(kit, 'events', 'post', {
    summary: 'store an event and a task for each of its callbacks; prints its id',
    arguments: { '<name>': 'name', '[json]': 'props' },
    text: ({ _id }) => _id,
  })
  operationCommand(kit, 'events', 'cancel', {
    async call({ events }, request) {
      const answer = await events.cancel(request)
      // Tasks that had already ended need no change.
      return { ...answer, refused: answer.refused.filter(({ error }) => error.code !== 'ALREADY_ENDED') }
    },
  })
}

interface FollowOptions {
  json?: boolean
  since?: string
  status?: EventStatus[]
}

/** Reports mistakes before anything is connected. @throws {FleetError} `BAD_DATE`, `BAD_REQUEST` */
function checkFollow({ since, status = [] }: FollowOptions): void {
  const open = status.filter((one) => !ENDED.includes(one))
  if (open.length > 0) {
    throw new FleetError('BAD_REQUEST', `--follow prints events that have ended, not ${open.join(' or ')} ones`)
  }
  if (since !== undefined && !isId(since)) parseDate(since, '--since')
}

const isId = (text: string): boolean => /^[0-9a-f]{24}$/i.test(text)

async function followUntilInterrupted(
  view: FleetView,
  name: string | undefined,
  { since, status = [...ENDED] }: FollowOptions,
  emit: (event: EventRow) => void,
): Promise<number> {
  const filter = { status: { $in: status }, ...given({ name }) }
  const beginning =
    since === undefined
      ? undefined
      : isId(since)
        ? await endOf(view, since)
        : { processedAt: parseDate(since, '--since').toISOString(), ids: new Set<string>() }
  return new Promise<number>((resolve, reject) => {
    process.once('SIGINT', () => resolve(EXIT.interrupted))
    followEvents(view, filter, beginning, emit).catch(reject)
  })
}

/** @throws {FleetError} `NOT_FOUND`, `BAD_REQUEST` */
async function endOf(view: FleetView, id: string): Promise<{ processedAt: string; ids: Set<string> }> {
  const [event] = await view.rows({ collection: 'events', filter: { _id: id }, limit: 1 })
  if (event === undefined) throw new FleetError('NOT_FOUND', `There is no event ${id}`, { field: '--since' })
  const { processedAt, status } = event
  if (processedAt !== undefined) return { processedAt, ids: new Set([id.toLowerCase()]) }
  throw new FleetError('BAD_REQUEST', `The event ${id} is ${status}: give an event that has ended, or a date`)
}

function eventLine(event: EventRow): string {
  const { processedAt = '', status, name, _id, props } = event
  return `${processedAt}  ${status.padEnd(9)}  ${_id}  ${printable(name)}  ${printableJson(props)}  ${resultText(event)}`.trimEnd()
}

const resultText = ({ results = [] }: EventRow): string =>
  results
    .map(({ name, status, output, error }) => {
      const result = output === undefined ? status : printableJson(output)
      return `${printable(name)}: ${error === undefined ? result : `${error.code} ${oneLine(error.message)}`}`
    })
    .join('; ')
