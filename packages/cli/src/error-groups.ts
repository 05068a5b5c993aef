import { parseDate } from '@taskfleet/core/internal'
import { type ErrorRow, type ErrorState, FleetError } from '@taskfleet/protocol'
import { Option } from 'commander'
import { tell } from './commands.ts'
import { EXIT } from './exit.ts'
import type { FleetView } from './fleet-view.ts'
import { type CommandKit, LISTS, type Print } from './kit.ts'
import { type CommonOptions, parseCount, parseMs } from './options.ts'
import { fieldLines, oneLine, printable, printableJson, table } from './text.ts'
import { withFleet } from './with-fleet.ts'

const STATES: Record<'resolve' | 'ignore' | 'reopen', { state: ErrorState; says: string }> = {
  resolve: { state: 'resolved', says: 'call an error done; it is open again when it comes back' },
  ignore: { state: 'ignored', says: 'leave an error alone, for ever or for a time' },
  reopen: { state: 'open', says: 'take an error up again' },
}
const MESSAGE_WIDTH = 80

/** What keeps going wrong, by fingerprint. */
export function errorCommands(kit: CommandKit): void {
  const { act, print } = kit
  const errors = kit
    .group('errors', 'what keeps going wrong: failed attempts grouped by fingerprint; lists them')
    .addHelpText('after', LISTS)
  kit
    .json('list', 'every error, the latest first', errors, { isDefault: true })
    .addOption(new Option('--state <state>', 'only those').choices(['open', 'resolved', 'ignored']))
    .option('--limit <n>', 'how many at most', parseCount, 100)
    .action(act((options: ListCommand) => list(options, print)))
  kit
    .json('show', 'everything about one error', errors)
    .argument('<fingerprint>')
    .action(act((fingerprint: string, options: CommonOptions) => show(fingerprint, options, print)))
  for (const [name, { state, says }] of Object.entries(STATES)) {
    const command = kit.json(name, says, errors).argument('<fingerprint>')
    if (state === 'ignored') {
      command
        .addOption(
          new Option('--until <date>', 'until then; afterwards it is open when it comes back').conflicts('for'),
        )
        .option('--for <duration>', 'for so long, such as 7d', parseMs)
    }
    command.action(act((fingerprint: string, options: MarkCommand) => mark(fingerprint, state, options, print)))
  }
  const again = {
    retry: 'let every task that failed for good with this error run again',
    replay: 'make a new task from every one that failed for good with this error',
  }
  for (const [name, says] of Object.entries(again)) {
    kit
      .json(name, says, errors)
      .argument('<fingerprint>')
      .option('--reason <text>', 'for the record')
      .option('--dry-run', 'only count what is meant')
      .action(
        act((fingerprint: string, options: AgainCommand) =>
          runAgain(name as keyof typeof again, fingerprint, options, print),
        ),
      )
  }
}

interface ListCommand extends CommonOptions {
  state?: ErrorState
  limit: number
}

/** `taskfleet errors` */
function list({ state, limit, ...options }: ListCommand, print: Print): Promise<number> {
  return withFleet(options, async (_, view) => {
    const filter = state === undefined ? {} : { state }
    const rows = await view.rows({ collection: 'errors', filter, sort: { lastSeenAt: -1 }, limit })
    if (options.json === true) print(printableJson(rows))
    else {
      const cells = rows.map((row) => [
        printable(row._id),
        row.state,
        String(row.count),
        row.lastSeenAt,
        printable(row.tasks.join(', ')),
        shortened(oneLine(row.message)),
      ])
      print(table(['FINGERPRINT', 'STATE', 'COUNT', 'LAST SEEN', 'TASKS', 'MESSAGE'], cells))
    }
    return EXIT.done
  })
}

const shortened = (text: string): string => (text.length > MESSAGE_WIDTH ? `${text.slice(0, MESSAGE_WIDTH)}…` : text)

/** `taskfleet errors show FINGERPRINT` */
function show(fingerprint: string, options: CommonOptions, print: Print): Promise<number> {
  return withFleet(options, async (_, view) => {
    const { stack, ...row } = await find(view, fingerprint)
    if (options.json === true) print(printableJson({ ...row, stack }))
    else {
      print(fieldLines(row))
      for (const line of stack?.split('\n') ?? []) print(`  ${printable(line)}`)
    }
    return EXIT.done
  })
}

interface MarkCommand extends CommonOptions {
  until?: string
  /** In milliseconds. */
  for?: number
}

/** `taskfleet errors resolve|ignore|reopen FINGERPRINT` */
function mark(fingerprint: string, state: ErrorState, options: MarkCommand, print: Print): Promise<number> {
  const date = options.until === undefined ? undefined : parseDate(options.until, '--until')
  return withFleet(options, async (fleet, view) => {
    const inTime = options.for === undefined ? undefined : new Date(view.now() + options.for)
    const until = (date ?? inTime)?.toISOString()
    const row = await fleet.errors.mark({ fingerprint, state, ...(until === undefined ? {} : { until }) })
    const till = row.ignoredUntil === undefined ? '' : ` until ${row.ignoredUntil}`
    print(options.json === true ? printableJson(row) : `${printable(row._id)}  ${row.state}${till}`)
    return EXIT.done
  })
}

interface AgainCommand extends CommonOptions {
  reason?: string
  dryRun?: boolean
}

/** `taskfleet errors retry|replay FINGERPRINT` */
function runAgain(verb: 'retry' | 'replay', fingerprint: string, options: AgainCommand, print: Print): Promise<number> {
  const { reason, dryRun = false } = options
  return withFleet(options, async (fleet, view) => {
    const { _id } = await find(view, fingerprint)
    const answer = await fleet.tasks[verb]({
      // One that was cancelled after it had failed is not wanted any more; one that completed in the end is done.
      filter: { 'error.fingerprint': _id, status: 'failed' },
      dryRun,
      ...(reason === undefined ? {} : { reason }),
    })
    return tell(answer, { ...options, dryRun }, print)
  })
}

/** @throws {FleetError} `NOT_FOUND` */
async function find(view: FleetView, fingerprint: string): Promise<ErrorRow> {
  const [row] = await view.rows({ collection: 'errors', filter: { _id: fingerprint }, limit: 1 })
  if (row !== undefined) return row
  throw new FleetError('NOT_FOUND', `There is no error '${fingerprint}'`, { field: 'fingerprint' })
}
