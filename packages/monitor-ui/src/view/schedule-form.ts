import type {
  Duration,
  MissedPolicy,
  NewSchedule,
  OverlapPolicy,
  ScheduleChanges,
  ScheduleRow,
  TimingRequest,
} from '@taskfleet/protocol'
import { attemptsError, type Errors, found, nameError, optionalJsonError, timeError, versionError } from './checks.ts'
import { localTime } from './format.ts'
import { ownZone, periodText } from './schedule-words.ts'
import { editableJson } from './text.ts'

/** What the form for a schedule holds, all as it was typed. */
export interface ScheduleForm {
  name: string
  task: string
  version: string
  input: string
  by: 'cron' | 'every'
  cron: string
  every: string
  timeZone: string
  /** As `<input type="datetime-local">` has it. */
  startsAt: string
  endsAt: string
  missed: MissedPolicy
  overlap: OverlapPolicy
  queue: string
  priority: string
  maxAttempts: string
  deadlineAfter: string
  lazy: boolean
}

/** The form as it is for a new schedule, or for one that is to be changed. */
export function scheduleForm(schedule?: ScheduleRow): ScheduleForm {
  const { options, every } = schedule ?? {}
  const text = (value: string | number | undefined): string => (value === undefined ? '' : String(value))
  return {
    name: schedule?._id ?? '',
    task: schedule?.task ?? '',
    version: text(schedule?.version ?? 1),
    input: schedule === undefined ? '{}' : editableJson(schedule.input),
    by: every === undefined ? 'cron' : 'every',
    cron: schedule?.cron ?? (schedule === undefined ? '0 3 * * *' : ''),
    every: every === undefined ? '' : periodText(every),
    timeZone: schedule?.timeZone ?? ownZone(),
    startsAt: schedule?.startsAt === undefined ? '' : localTime(schedule.startsAt),
    endsAt: schedule?.endsAt === undefined ? '' : localTime(schedule.endsAt),
    missed: schedule?.missed ?? 'latest',
    overlap: schedule?.overlap ?? 'allow',
    queue: options?.queue === 'default' ? '' : text(options?.queue),
    priority: text(options?.priority),
    maxAttempts: text(options?.maxAttempts),
    deadlineAfter: options?.deadlineAfter === undefined ? '' : periodText(options.deadlineAfter),
    lazy: options?.lazy === true,
  }
}

const PERIOD = /^\d+(\.\d+)?(ms|s|m|h|d)$/
const PERIOD_RULE = 'A number with s, m, h or d, such as 15m.'

const periodError = (text: string): string | undefined => (PERIOD.test(text.trim()) ? undefined : PERIOD_RULE)

/** What can be told without asking; the rest is the gateway's to say. */
export const scheduleErrors = (form: ScheduleForm): Errors<ScheduleForm> =>
  found<ScheduleForm>({
    name: nameError(form.name),
    task: nameError(form.task) && 'Which task shall run?',
    version: versionError(form.version),
    cron: form.by === 'cron' && form.cron.trim() === '' ? 'Five fields, or six with seconds first.' : undefined,
    every: form.by === 'every' ? periodError(form.every) : undefined,
    startsAt: timeError(form.startsAt),
    endsAt: timeError(form.endsAt),
    maxAttempts: attemptsError(form.maxAttempts),
    deadlineAfter: form.deadlineAfter.trim() === '' ? undefined : periodError(form.deadlineAfter),
    input: optionalJsonError(form.input),
  })

/** The schedule that a form without errors means. @param before the one that is changed */
export function newSchedule(form: ScheduleForm, before?: ScheduleRow): NewSchedule {
  const { queue, priority, maxAttempts, deadlineAfter, lazy } = form
  return {
    _id: form.name.trim(),
    ...timingOf(form, before),
    task: form.task.trim(),
    version: Number(form.version),
    input: form.input.trim() === '' ? {} : JSON.parse(form.input),
    options: {
      ...(queue.trim() !== '' && { queue: queue.trim() }),
      ...(priority.trim() !== '' && { priority: Number(priority) }),
      ...(maxAttempts.trim() !== '' && { maxAttempts: Number(maxAttempts) }),
      ...(deadlineAfter.trim() !== '' && { deadlineAfter: deadlineAfter.trim() as Duration }),
      ...(lazy && { lazy }),
    },
    missed: form.missed,
    overlap: form.overlap,
  }
}

/** All that the form shows of the schedule that is changed: null takes away what it leaves empty. */
export function scheduleChanges(form: ScheduleForm, before: ScheduleRow): ScheduleChanges {
  const { _id, options, ...wanted } = newSchedule(form, before)
  const noOptions = { queue: null, priority: null, maxAttempts: null, deadlineAfter: null, lazy: null }
  // Null takes an option away as well, which the type leaves out.
  return {
    startsAt: null,
    endsAt: null,
    ...wanted,
    options: { ...noOptions, ...options } as ScheduleChanges['options'] & object,
  }
}

/** When it would run. A date that was not touched is sent as it is stored: a field shows no parts of a second. */
export function timingOf(form: ScheduleForm, before?: ScheduleRow): TimingRequest {
  const dateOf = (field: 'startsAt' | 'endsAt') => {
    const stored = before?.[field]
    if (form[field] === '') return {}
    const untouched = stored !== undefined && form[field] === localTime(stored)
    return { [field]: untouched ? stored : new Date(form[field]).toISOString() }
  }
  return {
    ...(form.by === 'cron' ? { cron: form.cron.trim() } : { every: form.every.trim() as Duration }),
    timeZone: form.timeZone.trim() === '' ? 'UTC' : form.timeZone.trim(),
    ...dateOf('startsAt'),
    ...dateOf('endsAt'),
  }
}

/** Whether a timing is worth asking about. */
export function canPreview(form: ScheduleForm): boolean {
  const { cron, every, startsAt, endsAt } = scheduleErrors(form)
  return [cron, every, startsAt, endsAt].every((error) => error === undefined)
}
