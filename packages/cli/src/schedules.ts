import { durationText, FleetError, type ScheduleRow } from '@taskfleet/protocol'
import type { CommandKit } from './kit.ts'
import { operationCommand } from './operation-commands.ts'
import { readJson } from './options.ts'
import { printable } from './text.ts'

const nested = ['options']
const flags = { version: { flag: '--task-version <n>' } }

export function scheduleCommands(kit: CommandKit): void {
  const text = (schedule: ScheduleRow): string => `${printable(schedule._id)}  ${stateOf(schedule)}`
  operationCommand(kit, 'schedules', 'list', {
    summary: 'list schedules',
    defaults: { limit: 1_000 },
    columns: {
      NAME: (schedule) => schedule._id,
      WHEN: ({ cron, every = 0 }) => cron ?? `every ${durationText(every)}`,
      ZONE: (schedule) => schedule.timeZone,
      TASK: ({ task, version }) => `${task}@${version}`,
      QUEUE: ({ options }) => options.queue,
      NEXT: stateOf,
      LAST: (schedule) => schedule.lastSlot,
    },
  })
  const create = operationCommand(kit, 'schedules', 'create', {
    summary: 'run a task by cron, or by period with --every; prints the next scheduled time',
    arguments: { '<schedule>': '_id' },
    ...{ nested, flags },
    hide: ['cron', 'task', 'input'],
    prepare: async (request, _, [, words]) => ({ ...request, ...(await readWords(words as string[], request.every)) }),
    text,
  })
  create
    .usage(
      '[options] <schedule> <cron> <task> [json]\n       taskfleet schedules create [options] --every <duration> <schedule> <task> [json]',
    )
    .argument('<words...>')
  operationCommand(kit, 'schedules', 'edit', { ...{ nested, flags }, text })
  operationCommand(kit, 'schedules', 'pause', { text })
  operationCommand(kit, 'schedules', 'resume', { text })
  operationCommand(kit, 'schedules', 'run', {
    summary: 'create its task now, besides its scheduled times; prints the id',
    text: ({ _id }) => _id,
  })
  operationCommand(kit, 'schedules', 'preview', {
    summary: 'print the next times of a cron, or of a period with --every',
    arguments: { '[cron]': 'cron' },
    defaults: { count: 5 },
    text: (slots, { timeZone = 'UTC' }) => slots.map((slot) => `${slot}  ${inZone(slot, timeZone)}`).join('\n'),
  })
}

/** The arguments after the schedule's name: a cron unless there is a period, a task, and its input. @throws {FleetError} `BAD_REQUEST` */
async function readWords(words: readonly string[], every: unknown): Promise<{ task: string; input?: unknown }> {
  const [cron, task, json, more] = every === undefined ? words : [undefined, ...words]
  if (task === undefined || more !== undefined) {
    const wanted = every === undefined ? 'a cron (in quotes), a task' : 'a task'
    throw new FleetError(
      'BAD_REQUEST',
      `The arguments after the schedule's name must be ${wanted} and optionally its input`,
    )
  }
  return {
    task,
    ...(cron === undefined ? {} : { cron }),
    ...(json === undefined ? {} : { input: await readJson(json, 'The input') }),
  }
}

function stateOf({ paused, nextAt }: ScheduleRow): string {
  if (paused) return 'paused'
  return nextAt ?? 'over'
}

/** A date in the local time of a zone. */
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
