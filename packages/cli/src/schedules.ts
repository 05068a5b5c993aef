import { parseDate } from '@taskfleet/core/internal'
import {
  type Duration,
  durationText,
  FleetError,
  type FleetOperations,
  MISSED_POLICIES,
  type MissedPolicy,
  milliseconds,
  type NewSchedule,
  OVERLAP_POLICIES,
  type OverlapPolicy,
  type ScheduleRow,
} from '@taskfleet/protocol'
import { type Command, Option } from 'commander'
import { type BudgetOptions, budgetChanges, budgeted } from './budget-options.ts'
import { EXIT } from './exit.ts'
import { type CommandKit, LISTS, type Print } from './kit.ts'
import { type CommonOptions, parseCount, parseDuration, parsePriorityText, readJson } from './options.ts'
import { printable, printableJson, table } from './text.ts'
import { withFleet } from './with-fleet.ts'

interface TimingOptions extends CommonOptions {
  every?: Duration
  timeZone?: string
  startsAt?: string
  endsAt?: string
}

interface ScheduleOptions extends TimingOptions, BudgetOptions {
  taskVersion?: number
  queue?: string
  priority?: number | string
  lazy?: boolean
  maxAttempts?: number
  deadlineAfter?: Duration
  missed?: MissedPolicy
  overlap?: OverlapPolicy
  paused?: boolean
}

interface EditSchedule extends ScheduleOptions {
  cron?: string
  task?: string
  input?: string
  edition?: number
}

interface ReasonOptions extends CommonOptions {
  reason?: string
}

const withSchedules = (
  options: CommonOptions,
  act: (schedules: FleetOperations['schedules']) => Promise<number>,
): Promise<number> => withFleet(options, ({ schedules }) => act(schedules))

/** Which task runs when, again and again. */
export function scheduleCommands(kit: CommandKit): void {
  const { act, print } = kit
  const schedules = kit.group('schedules', 'which task runs when, again and again').addHelpText('after', LISTS)
  const one = (name: string, description: string): Command =>
    kit.json(name, description, schedules).argument('<schedule>')
  kit
    .json('list', 'every schedule', schedules, { isDefault: true })
    .option('--limit <n>', 'how many at most', parseCount, 1_000)
    .action(act((options: ListCommand) => list(options, print)))
  described(one('create', 'run a task by a cron, or with --every by a period; prints its next slot'))
    .usage(
      '[options] <schedule> <cron> <task> [json]\n       taskfleet schedules create [options] --every <duration> <schedule> <task> [json]',
    )
    .argument('<words...>')
    .option('--paused', 'not before it is resumed')
    .action(act((name: string, words: string[], options: ScheduleOptions) => create(name, words, options, print)))
  described(one('edit', 'change one; what is queued already stays as it is'))
    .option('--cron <cron>', 'other times')
    .option('--task <name>', 'another task')
    .option('--input <json>', 'another input; @FILE or - for stdin')
    .option('--no-lazy', 'whatever the load')
    .option('--edition <n>', 'only if nobody has changed it since', parseCount)
    .action(act((name: string, options: EditSchedule) => edit(name, options, print)))
  for (const [verb, says] of [
    ['pause', 'let its slots pass unused'],
    ['resume', 'go on with the next slot from now on'],
  ] as const) {
    one(verb, says)
      .option('--reason <text>', 'for the record')
      .action(
        act((name: string, options: ReasonOptions) =>
          withSchedules(options, async (port) =>
            told(await port[verb]({ name, ...given({ reason: options.reason }) }), options, print),
          ),
        ),
      )
  }
  one('run', 'make its task now, outside the slots; prints its id')
    .option('--reason <text>', 'for the record')
    .action(
      act((name: string, options: ReasonOptions) =>
        withSchedules(options, async (port) => {
          const task = await port.run({ name, ...given({ reason: options.reason }) })
          print(options.json === true ? printableJson(task) : task._id)
          return EXIT.done
        }),
      ),
    )
  timed(kit.json('preview', 'the next slots of a cron, or of --every', schedules))
    .argument('[cron]')
    .option('--count <n>', 'how many', parseCount, 5)
    .action(
      act((cron: string | undefined, options: TimingOptions & { count: number }) =>
        withSchedules(options, async (port) => {
          const slots = await port.preview({ ...timingOf(options, cron), count: options.count })
          if (options.json === true) print(printableJson(slots))
          else for (const slot of slots) print(`${slot}  ${inZone(slot, options.timeZone ?? 'UTC')}`)
          return EXIT.done
        }),
      ),
    )
}

const timed = (command: Command): Command =>
  command
    .option('--every <duration>', 'in place of a cron: a period of 1s at least', parseDuration)
    .option('--time-zone <name>', 'what the cron is read in, such as Europe/Berlin; UTC by default')
    .option('--starts-at <date>', 'no slot before it; what a period is counted from')
    .option('--ends-at <date>', 'no slot after it')

const described = (command: Command): Command =>
  budgeted(timed(command))
    .addOption(
      new Option('--missed <policy>', 'slots that passed without a worker: none, the last, each').choices(
        MISSED_POLICIES,
      ),
    )
    .addOption(
      new Option('--overlap <policy>', 'whether to leave a slot out while its last task runs').choices(
        OVERLAP_POLICIES,
      ),
    )
    .option('--task-version <n>', 'the version that the input is written for', parseCount)
    .option('--queue <name>', 'where its tasks wait')
    .option('--priority <1-10|low|medium|high>', 'of its tasks', parsePriorityText)
    .option('--lazy', 'only while the machine is not overloaded')
    .option('--max-attempts <n>', 'the most failed attempts, 1-50', parseCount)
    .option('--deadline-after <duration>', 'the deadline of each task after its slot', parseDuration)

/** Only what was said; `none` takes a date away. */
function timingOf({ every, timeZone, startsAt, endsAt }: TimingOptions, cron: string | undefined): object {
  return given({
    cron,
    every: every === undefined ? undefined : milliseconds(every),
    timeZone,
    startsAt: dateOf(startsAt, '--starts-at'),
    endsAt: dateOf(endsAt, '--ends-at'),
  })
}

const dateOf = (text: string | undefined, flag: string): string | null | undefined =>
  text === undefined ? undefined : text === 'none' ? null : parseDate(text, flag).toISOString()

function settingsOf(options: ScheduleOptions, cron: string | undefined): object {
  const { taskVersion: version, queue, priority, lazy, maxAttempts, deadlineAfter, missed, overlap, paused } = options
  const tasks = { ...given({ queue, priority, lazy, maxAttempts, deadlineAfter }), ...budgetChanges(options) }
  return {
    ...timingOf(options, cron),
    ...given({ version, missed, overlap, paused }),
    ...(Object.keys(tasks).length === 0 ? {} : { options: tasks }),
  }
}

const given = (fields: object): object =>
  Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined))

/** `taskfleet schedules create NAME CRON TASK [JSON]`, or with `--every` without the cron */
async function create(name: string, words: string[], options: ScheduleOptions, print: Print): Promise<number> {
  const [cron, task, json, more] = options.every === undefined ? words : [undefined, ...words]
  if (task === undefined || more !== undefined) {
    const wanted = options.every === undefined ? 'a cron (in quotes), a task' : 'a task'
    throw new FleetError('BAD_REQUEST', `After the schedule's name come ${wanted} and its input, if it takes one`)
  }
  const input = json === undefined ? {} : { input: await readJson(json, 'The input') }
  const request = { _id: name, task, ...input, ...settingsOf(options, cron) } as NewSchedule
  return withSchedules(options, async (port) => told(await port.create(request), options, print))
}

/** `taskfleet schedules edit NAME`: what is not named stays as it is. */
async function edit(name: string, options: EditSchedule, print: Print): Promise<number> {
  const { cron, task, input, edition } = options
  const changes = {
    ...settingsOf(options, cron),
    ...given({ task, input: input === undefined ? undefined : await readJson(input, '--input') }),
  }
  return withSchedules(options, async (port) =>
    told(await port.edit({ name, changes, ...given({ edition }) }), options, print),
  )
}

function told(schedule: ScheduleRow, options: CommonOptions, print: Print): number {
  print(options.json === true ? printableJson(schedule) : `${printable(schedule._id)}  ${stateOf(schedule)}`)
  return EXIT.done
}

interface ListCommand extends CommonOptions {
  limit: number
}

/** `taskfleet schedules` */
function list({ limit, ...options }: ListCommand, print: Print): Promise<number> {
  return withSchedules(options, async (port) => {
    const rows = await port.list({ limit })
    if (options.json === true) print(printableJson(rows))
    else {
      const cells = rows.map((row) => [
        printable(row._id),
        row.cron ?? `every ${durationText(row.every ?? 0)}`,
        row.timeZone,
        printable(`${row.task}@${row.version}`),
        printable(row.options.queue),
        stateOf(row),
        row.lastSlot ?? '',
      ])
      print(table(['NAME', 'WHEN', 'ZONE', 'TASK', 'QUEUE', 'NEXT', 'LAST'], cells))
    }
    return EXIT.done
  })
}

function stateOf({ paused, nextAt }: ScheduleRow): string {
  if (paused) return 'paused'
  return nextAt ?? 'over'
}

/** A date as the clocks of a zone show it. */
const inZone = (date: string, timeZone: string): string =>
  new Intl.DateTimeFormat('en-GB', {
    timeZone,
    weekday: 'short',
    day: '2-digit',
    month: 'short',
    year: 'numeric',
    hour: '2-digit',
    minute: '2-digit',
    second: '2-digit',
    timeZoneName: 'short',
  }).format(new Date(date))
