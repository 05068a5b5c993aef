import { parseDate, parseId } from '@taskfleet/core/internal'
import { type EventRequest, type EventRow, type EventStatus, FleetError } from '@taskfleet/protocol'
import type { Command } from 'commander'
import { tell } from './commands.ts'
import { followEvents } from './events-follow.ts'
import { EXIT } from './exit.ts'
import type { FleetView } from './fleet-view.ts'
import { type CommandKit, LISTS, type Print } from './kit.ts'
import {
  type CommonOptions,
  EVENT_STATUSES,
  parseCount,
  parseEventStatuses,
  parsePriorityText,
  readJson,
} from './options.ts'
import { oneLine, printable, printableJson, table } from './text.ts'
import { withFleet } from './with-fleet.ts'

/** What happens, each with a task for every callback of its name. */
export function eventCommands(kit: CommandKit): void {
  const { act, print } = kit
  const events = kit
    .group('events', 'what happened and will happen; post one, follow them as a log')
    .addHelpText('after', LISTS)
  const following = (command: Command): Command =>
    command
      .option('--name <name>', 'only events of this name')
      .option('--since <date|id>', 'beginning with what ended since then, or after that event')
  following(kit.json('list', 'the newest first', events, { isDefault: true }))
    .option('--status <names>', `which: ${EVENT_STATUSES.join(', ')}`, parseEventStatuses)
    .option('--limit <n>', 'how many at most', parseCount, 100)
    .option('--follow', 'print each as it ends, until interrupted')
    .action(act((options: ListCommand) => (options.follow === true ? follow(options, print) : list(options, print))))
  following(kit.json('follow', 'print each as it ends, until interrupted', events))
    .option('--status <names>', 'how they ended: finished, failed, cancelled', parseEventStatuses)
    .action(act((options: FollowCommand) => follow(options, print)))
  kit
    .json('post', 'store an event and a task for each of its callbacks; prints its id', events)
    .argument('<name>')
    .argument('[json]', 'its props; @FILE or - for stdin', '{}')
    .option('--scheduled-for <date>', 'when its tasks become active')
    .option('--priority <1-10|low|medium|high>', 'of its tasks', parsePriorityText)
    .option('--id <id>', 'makes repeating it harmless')
    .action(act((name: string, props: string, options: PostCommand) => post(name, props, options, print)))
  kit
    .json('cancel', 'cancel its tasks that have not ended', events)
    .argument('<id>')
    .option('--reason <text>', 'for the record, and for the handler that is stopped')
    .action(act((id: string, options: CancelCommand) => cancel(id, options, print)))
}

interface PostCommand extends CommonOptions {
  scheduledFor?: string
  priority?: number | string
  id?: string
}

/** `taskfleet events post NAME JSON` */
async function post(name: string, json: string, options: PostCommand, print: Print): Promise<number> {
  const { scheduledFor, priority, id } = options
  const request: EventRequest = {
    name,
    props: (await readJson(json, 'The props')) as Record<string, unknown>,
    ...(scheduledFor === undefined ? {} : { scheduledFor: parseDate(scheduledFor, '--scheduled-for').toISOString() }),
    ...(priority === undefined ? {} : { priority: priority as NonNullable<EventRequest['priority']> }),
    ...(id === undefined ? {} : { _id: parseId(id, '--id').toHexString() }),
  }
  return withFleet(options, async ({ events }) => {
    const event = await events.post(request)
    print(options.json === true ? printableJson(event) : event._id)
    return EXIT.done
  })
}

interface FollowCommand extends CommonOptions {
  name?: string
  since?: string
  status?: EventStatus[]
}

interface ListCommand extends FollowCommand {
  limit: number
  follow?: boolean
}

/** `taskfleet events` */
function list({ name, status, since, limit, ...options }: ListCommand, print: Print): Promise<number> {
  if (since !== undefined) throw new FleetError('BAD_REQUEST', "'--since' is for --follow")
  const filter = {
    ...(name === undefined ? {} : { name }),
    ...(status === undefined ? {} : { status: { $in: status } }),
  }
  return withFleet(options, async (_, view) => {
    const rows = await view.rows({ collection: 'events', filter, sort: { createdAt: -1 }, limit })
    if (options.json === true) print(printableJson(rows))
    else {
      const cells = rows.map((event) => [
        event._id,
        event.status,
        printable(event.name),
        event.scheduledFor,
        String(event.tasks.length),
        resultText(event),
      ])
      print(table(['ID', 'STATUS', 'NAME', 'SCHEDULED FOR', 'TASKS', 'RESULT'], cells))
    }
    return EXIT.done
  })
}

/** `taskfleet events follow` */
function follow(options: FollowCommand, print: Print): Promise<number> {
  const { name, status = ['finished', 'failed', 'cancelled'], since } = options
  const open = status.filter((one) => one === 'scheduled' || one === 'processing')
  if (open.length > 0) {
    throw new FleetError('BAD_REQUEST', `What is ${open.join(' or ')} has not ended: --follow tells of ends`)
  }
  const from = since === undefined || /^[0-9a-f]{24}$/i.test(since) ? undefined : parseDate(since, '--since')
  const filter = { status: { $in: status }, ...(name === undefined ? {} : { name }) }
  const told = (event: EventRow): void => print(options.json === true ? printableJson(event) : eventLine(event))
  return withFleet(options, async (_, view) => {
    const after = since === undefined || from !== undefined ? undefined : await endOf(view, since)
    const beginning = from === undefined ? after : { processedAt: from.toISOString(), ids: new Set<string>() }
    return new Promise<number>((resolve, reject) => {
      process.once('SIGINT', () => resolve(EXIT.interrupted))
      followEvents(view, filter, beginning, told).catch(reject)
    })
  })
}

/** @throws {FleetError} `NOT_FOUND`, `BAD_REQUEST` */
async function endOf(view: FleetView, id: string): Promise<{ processedAt: string; ids: Set<string> }> {
  const [event] = await view.rows({ collection: 'events', filter: { _id: id }, limit: 1 })
  if (event === undefined) throw new FleetError('NOT_FOUND', `There is no event ${id}`, { field: '--since' })
  const { processedAt, status } = event
  if (processedAt !== undefined) return { processedAt, ids: new Set([id.toLowerCase()]) }
  throw new FleetError('BAD_REQUEST', `The event ${id} is ${status}: name one that has ended, or a date`)
}

function eventLine(event: EventRow): string {
  const { processedAt = '', status, name, _id, props } = event
  return `${processedAt}  ${status.padEnd(9)}  ${_id}  ${printable(name)}  ${printableJson(props)}  ${resultText(event)}`.trimEnd()
}

const resultText = ({ results = [] }: EventRow): string =>
  results
    .map(({ name, status, output, error }) => {
      const what =
        error !== undefined
          ? `${error.code} ${oneLine(error.message)}`
          : output === undefined
            ? status
            : printableJson(output)
      return `${printable(name)}: ${what}`
    })
    .join('; ')

interface CancelCommand extends CommonOptions {
  reason?: string
}

/** `taskfleet events cancel ID` */
function cancel(id: string, { reason, ...options }: CancelCommand, print: Print): Promise<number> {
  parseId(id)
  return withFleet(options, async ({ events }) => {
    const answer = await events.cancel({ id, ...(reason === undefined ? {} : { reason }) })
    // Tasks that had ended before are as they should be.
    const refused = answer.refused.filter(({ error }) => error.code !== 'ALREADY_ENDED')
    return tell({ ...answer, refused }, { ...options, dryRun: false }, print)
  })
}
