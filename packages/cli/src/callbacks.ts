import { parseId } from '@taskfleet/core/internal'
import { type CallbackRow, FleetError } from '@taskfleet/protocol'
import type { Command } from 'commander'
import { type BudgetOptions, budgetChanges, budgeted } from './budget-options.ts'
import { EXIT } from './exit.ts'
import { type CommandKit, LISTS, type Print } from './kit.ts'
import { type CommonOptions, parseCount, parsePriorityText, readJson } from './options.ts'
import { printable, printableJson, table } from './text.ts'
import { withFleet } from './with-fleet.ts'

interface CallbackOptions extends CommonOptions, BudgetOptions {
  taskVersion?: number
  queue?: string
  priority?: number | string
  lazy?: boolean
  maxAttempts?: number
  input?: string
}

interface EditCallback extends CallbackOptions {
  event?: string
  task?: string
  rev?: number
}

/** What runs when an event of a name arrives. */
export function callbackCommands(kit: CommandKit): void {
  const { act, print } = kit
  const callbacks = kit
    .group('callbacks', 'which task runs when an event of a name arrives')
    .addHelpText('after', LISTS)
  const described = (command: Command): Command =>
    budgeted(command)
      .option('--task-version <n>', 'the version that the input is written for', parseCount)
      .option('--queue <name>', 'where its tasks wait')
      .option('--priority <1-10|low|medium|high>', 'of its tasks where the event has none', parsePriorityText)
      .option('--lazy', 'only while the machine is not overloaded')
      .option('--max-attempts <n>', 'the most failed attempts, 1-50', parseCount)
      .option('--input <json>', "what the event's props are put over; @FILE or - for stdin")
  kit
    .json('list', 'every callback', callbacks, { isDefault: true })
    .option('--event <name>', 'only of this event')
    .option('--limit <n>', 'how many at most', parseCount, 1_000)
    .action(act((options: ListCommand) => list(options, print)))
  described(kit.json('create', 'run a task at every event of a name; prints its id', callbacks))
    .argument('<event>')
    .argument('<task>')
    .action(act((event: string, task: string, options: CallbackOptions) => create(event, task, options, print)))
  described(kit.json('edit', 'change one; what is queued already stays as it is', callbacks))
    .argument('<id>')
    .option('--event <name>', 'at other events')
    .option('--task <name>', 'another task')
    .option('--no-lazy', 'whatever the load')
    .option('--rev <n>', 'only if it is still at this revision', parseCount)
    .action(act((id: string, options: EditCallback) => edit(id, options, print)))
}

async function defaultsOf(options: CallbackOptions): Promise<object> {
  const { queue, priority, lazy, maxAttempts, input } = options
  return {
    ...budgetChanges(options),
    ...(queue === undefined ? {} : { queue }),
    ...(priority === undefined ? {} : { priority }),
    ...(lazy === undefined ? {} : { lazy }),
    ...(maxAttempts === undefined ? {} : { maxAttempts }),
    ...(input === undefined ? {} : { input: await readJson(input, '--input') }),
  }
}

/** `taskfleet callbacks create EVENT TASK` */
async function create(event: string, task: string, options: CallbackOptions, print: Print): Promise<number> {
  const { taskVersion: version } = options
  const request = { event, task, defaults: await defaultsOf(options), ...(version === undefined ? {} : { version }) }
  return withFleet(options, async ({ callbacks }) => {
    const created = await callbacks.create(request)
    print(options.json === true ? printableJson(created) : created._id)
    return EXIT.done
  })
}

interface ListCommand extends CommonOptions {
  event?: string
  limit: number
}

/** `taskfleet callbacks` */
function list({ event, limit, ...options }: ListCommand, print: Print): Promise<number> {
  return withFleet(options, async ({ callbacks }) => {
    const rows = await callbacks.list({ limit, ...(event === undefined ? {} : { event }) })
    if (options.json === true) print(printableJson(rows))
    else {
      const cells = rows.map((row) => [
        row._id,
        printable(row.event),
        printable(`${row.task}@${row.version}`),
        printable(row.defaults.queue ?? 'default'),
        defaultsText(row),
      ])
      print(table(['ID', 'EVENT', 'TASK', 'QUEUE', 'DEFAULTS'], cells))
    }
    return EXIT.done
  })
}

function defaultsText({ defaults: { queue: _, ...rest } }: CallbackRow): string {
  return Object.keys(rest).length === 0 ? '' : printableJson(rest)
}

/** `taskfleet callbacks edit ID`: a default that is not named stays as it is. */
async function edit(id: string, options: EditCallback, print: Print): Promise<number> {
  parseId(id)
  const { event, task, taskVersion: version, rev } = options
  const changed = await defaultsOf(options)
  const changes = {
    ...(event === undefined ? {} : { event }),
    ...(task === undefined ? {} : { task }),
    ...(version === undefined ? {} : { version }),
  }
  if (Object.keys({ ...changes, ...changed }).length === 0) {
    throw new FleetError('BAD_REQUEST', 'Say what changes: --event, --task, --queue, --input … (see --help)')
  }
  return withFleet(options, async ({ callbacks }) => {
    const before = await callbacks.show({ id })
    const defaults = { ...before.defaults, ...changed }
    const row = await callbacks.edit({ id, changes: { ...changes, defaults }, rev: rev ?? before.rev })
    print(options.json === true ? printableJson(row) : `${row._id}  changed, now at revision ${row.rev}`)
    return EXIT.done
  })
}
