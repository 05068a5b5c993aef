import { type ErrorRow, type ErrorState, FleetError } from '@taskfleet/protocol'
import { given } from '@taskfleet/protocol/internal'
import { Option } from 'commander'
import { EXIT } from './exit.ts'
import type { FleetView } from './fleet-view.ts'
import type { CommandKit, Print } from './kit.ts'
import { operationCommand } from './operation-commands.ts'
import { type CommonOptions, parseMs } from './options.ts'
import { fieldLines, oneLine, printable, printableJson } from './text.ts'
import { withFleet } from './with-fleet.ts'

const MARKS: Record<string, { state: ErrorState; summary: string }> = {
  resolve: { state: 'resolved', summary: 'mark an error as resolved; it opens again when it comes back' },
  ignore: { state: 'ignored', summary: 'ignore an error, for ever or for a time' },
  reopen: { state: 'open', summary: 'reopen an error' },
}
/** Fields without an option, by state. */
const HIDDEN: Record<ErrorState, string[]> = {
  open: ['state', 'until', 'resolvedIn'],
  resolved: ['state', 'until'],
  ignored: ['state', 'resolvedIn'],
}
const MESSAGE_WIDTH = 80

export function errorCommands(kit: CommandKit): void {
  operationCommand(kit, 'errors', 'list', {
    summary: 'list errors, the latest first',
    defaults: { limit: 100 },
    columns: {
      FINGERPRINT: (error) => error._id,
      STATE: (error) => error.state,
      COUNT: (error) => error.count,
      'LAST SEEN': (error) => error.lastSeenAt,
      TASKS: (error) => error.tasks.join(', '),
      MESSAGE: (error) => shortened(oneLine(error.message)),
    },
  })
  kit
    .json('errors show', 'show one error with all its fields')
    .argument('<fingerprint>')
    .action(kit.act((fingerprint: string, options: CommonOptions) => show(fingerprint, options, kit.print)))
  for (const [verb, { state, summary }] of Object.entries(MARKS)) {
    const command = operationCommand(kit, 'errors', 'mark', {
      name: `errors ${verb}`,
      summary,
      hide: HIDDEN[state],
      call({ errors }, request, { view, options }) {
        const until = typeof options.for === 'number' ? new Date(view.now() + options.for).toISOString() : undefined
        return errors.mark({ ...request, state, ...given({ until }) })
      },
      text: (row) =>
        `${printable(row._id)}  ${row.state}${row.ignoredUntil === undefined ? '' : ` until ${row.ignoredUntil}`}`,
    })
    if (state === 'ignored') {
      command.addOption(
        new Option('--for <duration>', 'ignore it for this time, such as 7d').argParser(parseMs).conflicts('until'),
      )
    }
  }
  for (const [verb, summary] of [
    ['retry', 'let every task that failed with this error run again'],
    ['replay', 'make a new task from every task that failed with this error'],
  ] as const) {
    const command = operationCommand(kit, 'tasks', verb, {
      name: `errors ${verb}`,
      summary,
      arguments: {},
      hide: ['id', 'ids', 'filter', 'input'],
      async call({ tasks }, { dryRun = false, reason }, { view, words: [fingerprint] }) {
        const { _id } = await find(view, String(fingerprint))
        // Only tasks whose last attempt failed: those that were cancelled since, or completed in the end, stay as they are.
        const filter = { 'error.fingerprint': _id, status: 'failed' }
        return tasks[verb]({ filter, dryRun, ...given({ reason }) })
      },
    })
    command.argument('<fingerprint>')
  }
}

const shortened = (text: string): string => (text.length > MESSAGE_WIDTH ? `${text.slice(0, MESSAGE_WIDTH)}…` : text)

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

/** @throws {FleetError} `NOT_FOUND` */
async function find(view: FleetView, fingerprint: string): Promise<ErrorRow> {
  const [row] = await view.rows({ collection: 'errors', filter: { _id: fingerprint }, limit: 1 })
  if (row !== undefined) return row
  throw new FleetError('NOT_FOUND', `There is no error '${fingerprint}'`, { field: 'fingerprint' })
}
