import { compileFilter, type EndedStatus, parseChanges, parseDate, parseId } from '@taskfleet/core/internal'
import {
  type CommandAnswer,
  type CommandRequest,
  FleetError,
  type FleetOperations,
  IF_FAILED,
  type IfFailed,
  OPERATIONS,
  type Operation,
  parseJson,
  type TaskChanges,
} from '@taskfleet/protocol'
import { type Command, Option } from 'commander'
import { type BudgetOptions, budgetChanges, parseOwnLimit } from './budget-options.ts'
import { EXIT } from './exit.ts'
import type { FleetView } from './fleet-view.ts'
import type { CommandKit, Print } from './kit.ts'
import { type CommonOptions, parseCount, parseEnded, parseList, parsePriorityText } from './options.ts'
import { printable, printableJson } from './text.ts'
import { withFleet } from './with-fleet.ts'

interface SelectingCommand extends CommonOptions {
  filter?: string
  reason?: string
  dryRun?: boolean
}

interface ReplayCommand extends SelectingCommand {
  input?: string
  since?: string
  until?: string
  status?: EndedStatus[]
  name?: string
}

interface ReprioritiseCommand extends SelectingCommand {
  priority?: number | string
  front?: boolean
  back?: boolean
}

interface EditCommand extends CommonOptions, BudgetOptions {
  priority?: number | string
  runAt?: string
  /** False takes the deadline away. */
  deadline?: string | false
  queue?: string
  input?: string
  lazy?: boolean
  maxAttempts?: number
  /** False to wait for none. */
  after?: string[] | false
  ifFailed?: IfFailed
  front?: boolean
  back?: boolean
  rev?: number
  reason?: string
}

/** How many new tasks are named in text; `--json` names all. */
const NAMED = 20

/** The commands that change tasks. */
export function taskCommands(kit: CommandKit): void {
  const { act, print } = kit
  for (const [verb, { selects, summary, cli }] of Object.entries(OPERATIONS.tasks as Record<string, Operation>)) {
    if (selects !== true || OWN.has(verb)) continue
    const run = (fleet: FleetOperations, request: CommandRequest): Promise<CommandAnswer> =>
      fleet.tasks[verb as 'cancel'](request)
    selecting(kit, cli!, sentence(summary)).action(
      act((ids: string[], options: SelectingCommand) => changeTasks(ids, options, print, run)),
    )
  }
  selecting(kit, 'replay', 'make new tasks from ended ones: named, by a filter, or of a period')
    .option('--input <json>', 'another input, for the one task that is named')
    .option('--since <date>', 'ended then or later')
    .option('--until <date>', 'ended before')
    .option('--status <names>', 'how they ended: completed, failed, cancelled', parseEnded)
    .option('--name <name>', 'only tasks of this name')
    .action(act((ids: string[], options: ReplayCommand) => replay(ids, options, print)))
  placing(selecting(kit, 'reprioritise', 'change the priority of waiting tasks, or their place in the queue')).action(
    act((ids: string[], options: ReprioritiseCommand) => reprioritise(ids, options, print)),
  )
  placing(kit.json('edit', 'change a task that waits'))
    .argument('<id>')
    .option('--run-at <date>', 'when it becomes active')
    .option('--deadline <date>', 'it is raised when this comes near, and once more when it is reached')
    .option('--no-deadline', 'take its deadline away')
    .option('--queue <name>', 'where it waits from now on')
    .option('--input <json>', 'in place of its input')
    .option('--lazy', 'only while the machine is not overloaded')
    .option('--no-lazy', 'whatever the load')
    .option('--max-attempts <n>', 'the most failed attempts, 1-50', parseCount)
    .option('--retry <json|none>', 'when it is tried again, in place of what it says now; none: as its handler says')
    .option('--timeout <duration|none>', 'how long one attempt may take; none: as its handler says', parseOwnLimit)
    .option('--total-timeout <duration|none>', 'how long it may take in all; none: as its handler says', parseOwnLimit)
    .option('--stall <duration|none>', 'how long an attempt may report nothing new', parseOwnLimit)
    .option('--after <ids>', 'other tasks to wait for: ID, or ID,ID up to 100', parseList)
    .option('--no-after', 'let it wait for none')
    .addOption(
      new Option('--if-failed <what>', 'what it does when a task that it waits for fails').choices([...IF_FAILED]),
    )
    .option('--rev <n>', 'only if it is still at this revision', parseCount)
    .option('--reason <text>', 'for the record')
    .action(act((id: string, options: EditCommand) => edit(id, options, print)))
}

/** Commands with options of their own. */
const OWN = new Set(['replay', 'reprioritise'])

/** A summary as help has it. */
export const sentence = (text: string): string => text.charAt(0).toLowerCase() + text.slice(1)

/** A command on the tasks that are named or match. */
const selecting = (kit: CommandKit, name: string, description: string): Command =>
  kit
    .json(name, description)
    .argument('[ids...]')
    .option('--filter <json>', 'all that match, as live queries take it')
    .option('--reason <text>', 'for the audit log, and for the handler that is stopped')
    .option('--dry-run', 'only count the tasks')

const placing = (command: Command): Command =>
  command
    .option('--priority <1-10|low|medium|high>', 'higher first', parsePriorityText)
    .addOption(new Option('--front', 'ahead of all that wait with the same priority').conflicts('back'))
    .option('--back', 'behind all that wait with the same priority')

type Ask = (fleet: FleetOperations, request: CommandRequest) => Promise<CommandAnswer>

/**
 * Does something to the tasks that are named or match. One that isn't there is refused like one that can't be changed,
 * so that the others are not held up by it.
 */
async function changeTasks(
  ids: readonly string[],
  { filter, reason, dryRun = false, ...options }: SelectingCommand,
  print: Print,
  ask: Ask,
): Promise<number> {
  if ((ids.length === 0) === (filter === undefined)) {
    throw new FleetError('BAD_FILTER', 'Name the tasks, or give --filter: one of the two')
  }
  const asked = { dryRun, ...(reason === undefined ? {} : { reason }) }
  if (filter !== undefined) {
    const selection = { filter: parseJson(filter, '--filter') as Record<string, unknown> }
    compileFilter(selection.filter)
    return withFleet(options, async (fleet) =>
      tell(await ask(fleet, { ...selection, ...asked }), { ...options, dryRun }, print),
    )
  }
  const wanted = [...new Set(ids.map((id) => parseId(id).toHexString()))]
  return withFleet(options, async (fleet, view) => {
    const known = await existing(view, wanted)
    const missing = wanted.filter((id) => !known.includes(id))
    const answer =
      known.length === 0
        ? { matched: 0, changed: 0, refused: [] }
        : await ask(fleet, { ...(known.length === 1 ? { id: known[0]! } : { ids: known }), ...asked })
    const gone = missing.map((id) => ({ id, error: { code: 'NOT_FOUND', message: 'There is no such task' } }))
    return tell({ ...answer, refused: [...answer.refused, ...gone] }, { ...options, dryRun }, print)
  })
}

/** How many ids a filter takes. */
const AT_A_TIME = 100

async function existing(view: FleetView, ids: readonly string[]): Promise<string[]> {
  const there = new Set<string>()
  for (let at = 0; at < ids.length; at += AT_A_TIME) {
    const filter = { _id: { $in: ids.slice(at, at + AT_A_TIME) } }
    const found = await view.rows({ collection: 'tasks', filter, limit: AT_A_TIME, fields: ['status'] })
    for (const { _id } of found) there.add(_id)
  }
  return ids.filter((id) => there.has(id))
}

/** Says what came of a command, and returns the exit code. */
export function tell(
  answer: CommandAnswer,
  { json, dryRun }: { json?: boolean; dryRun: boolean },
  print: Print,
): number {
  const { matched, refused, tasks = [] } = answer
  const missing = refused.filter(({ error }) => error.code === 'NOT_FOUND').length
  if (json === true) print(printableJson(answer))
  else {
    for (const { id, error } of refused) {
      print(error.code === 'NOT_FOUND' ? `${id}  not found` : `${id}  ${printable(error.message)} (${error.code})`)
    }
    if (tasks.length <= NAMED) for (const id of tasks) print(`${id}  new`)
    print(dryRun ? `${matched} ${matched === 1 ? 'matches' : 'match'}; nothing was changed` : summary(answer, missing))
  }
  if (missing > 0) return EXIT.notFound
  return refused.length > 0 ? EXIT.conflict : EXIT.done
}

function summary({ matched, changed, refused }: CommandAnswer, missing: number): string {
  const asBefore = matched - changed - (refused.length - missing)
  return `${changed} of ${matched + missing} changed${asBefore > 0 ? `, ${asBefore} already as wanted` : ''}`
}

/** `taskfleet replay ID…|--filter JSON|--since DATE …` */
function replay(ids: readonly string[], options: ReplayCommand, print: Print): Promise<number> {
  const { input, since, until, status, name, filter, ...rest } = options
  const period = periodFilter({ since, until, status, name })
  const both = [filter === undefined ? undefined : parseJson(filter, '--filter'), period].filter(
    (one) => one !== undefined,
  )
  if (ids.length > 0 && both.length > 0) {
    throw new FleetError('BAD_FILTER', 'Name the tasks, or say which by --filter and the period: one of the two')
  }
  if (input !== undefined && ids.length !== 1) {
    throw new FleetError('BAD_REQUEST', "'--input' is for one task: name that one")
  }
  const selecting = both.length === 0 ? {} : { filter: JSON.stringify(both.length === 1 ? both[0] : { $and: both }) }
  const other = input === undefined ? {} : { input: parseJson(input, '--input') }
  return changeTasks(ids, { ...rest, ...selecting }, print, ({ tasks }, request) =>
    tasks.replay({ ...request, ...other }),
  )
}

function periodFilter({
  since,
  until,
  status,
  name,
}: {
  [option in 'since' | 'until' | 'status' | 'name']: ReplayCommand[option] | undefined
}): Record<string, unknown> | undefined {
  const finishedAt = {
    ...(since === undefined ? {} : { $gte: parseDate(since, '--since').toISOString() }),
    ...(until === undefined ? {} : { $lt: parseDate(until, '--until').toISOString() }),
  }
  const filter = {
    ...(Object.keys(finishedAt).length === 0 ? {} : { finishedAt }),
    ...(status === undefined ? {} : { status: { $in: status } }),
    ...(name === undefined ? {} : { name }),
  }
  return Object.keys(filter).length === 0 ? undefined : filter
}

/** `taskfleet reprioritise ID…|--filter JSON` */
function reprioritise(ids: readonly string[], options: ReprioritiseCommand, print: Print): Promise<number> {
  const { priority, front, back, ...rest } = options
  const changes = { ...place({ priority, front, back }) }
  if (Object.keys(changes).length === 0) {
    throw new FleetError('BAD_REQUEST', 'Say what changes: --priority, --front or --back')
  }
  parseChanges(changes)
  return changeTasks(ids, rest, print, ({ tasks }, request) => tasks.reprioritise({ ...request, ...changes }))
}

function place({
  priority,
  front,
  back,
}: {
  [option in 'priority' | 'front' | 'back']: ReprioritiseCommand[option] | undefined
}): TaskChanges {
  return {
    ...(priority === undefined ? {} : { priority: priority as NonNullable<TaskChanges['priority']> }),
    ...(front === true ? { position: 'front' } : back === true ? { position: 'back' } : {}),
  }
}

/** `taskfleet edit ID` */
function edit(id: string, options: EditCommand, print: Print): Promise<number> {
  const { priority, front, back, runAt, deadline, queue, input, lazy, maxAttempts, after, ifFailed, rev, reason } =
    options
  const changes: TaskChanges = {
    ...place({ priority, front, back }),
    ...(runAt === undefined ? {} : { runAt }),
    ...(deadline === undefined ? {} : { deadline: deadline === false ? null : deadline }),
    ...(queue === undefined ? {} : { queue }),
    ...(input === undefined ? {} : { input: parseJson(input, '--input') }),
    ...(lazy === undefined ? {} : { lazy }),
    ...(maxAttempts === undefined ? {} : { maxAttempts }),
    ...budgetChanges(options),
    ...(after === undefined ? {} : { after: after === false ? null : after }),
    ...(ifFailed === undefined ? {} : { ifFailed }),
  }
  if (Object.keys(changes).length === 0) {
    throw new FleetError('BAD_REQUEST', 'Say what changes: --priority, --run-at, --input … (see --help)')
  }
  // Mistakes are told before anything is connected to.
  const wanted = parseId(id).toHexString()
  parseChanges(changes)
  return withFleet(options, async (fleet) => {
    const row = await fleet.tasks.edit({
      id: wanted,
      changes,
      ...(rev === undefined ? {} : { rev }),
      ...(reason === undefined ? {} : { reason }),
    })
    print(options.json === true ? printableJson(row) : `${row._id}  changed, now at revision ${row.rev}`)
    return EXIT.done
  })
}
