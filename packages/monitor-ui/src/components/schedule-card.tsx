import type { ScheduleRow, TaskRow } from '@taskfleet/protocol'
import {
  CalendarCheck,
  CalendarClock,
  CirclePause,
  CirclePlay,
  type LucideIcon,
  Pencil,
  Play,
  Trash2,
} from 'lucide-react'
import { formatAge, formatDuration, formatTime } from '../view/format.ts'
import { inZone, ownZone, timingWords } from '../view/schedule-words.ts'
import type { Look } from '../view/status.ts'
import { visibleLine } from '../view/text.ts'
import { Ago } from './ago.tsx'
import { Foreign } from './foreign.tsx'
import { IconButton } from './icon-button.tsx'
import { StatusBadge } from './status-badge.tsx'
import { TaskLink } from './task-link.tsx'

export type ScheduleCommand = 'run' | 'pause' | 'resume' | 'edit' | 'remove'

interface Props {
  schedule: ScheduleRow
  /** The last task that it made, where it is still there. */
  last: Pick<TaskRow, 'status' | 'control' | 'runAt'> | undefined
  now: number
  /** Absent for those who may not. */
  onCommand: ((command: ScheduleCommand) => void) | undefined
}

type State = 'waiting' | 'paused' | 'over'
const LOOK: Record<State, Look> = {
  waiting: { icon: CalendarClock, label: 'Active', tone: 'text-run' },
  paused: { icon: CirclePause, label: 'Paused', tone: 'text-warn' },
  over: { icon: CalendarCheck, label: 'Over', tone: 'text-dim' },
}

const stateOf = ({ paused, nextAt }: ScheduleRow): State =>
  paused ? 'paused' : nextAt === undefined ? 'over' : 'waiting'

const MISSED: Record<ScheduleRow['missed'], string> = {
  skip: 'missed slots are left out',
  latest: 'the last missed slot is made up for',
  all: 'missed slots are made up for',
}

/** A schedule with when it runs next, what came of the last time, and what can be done with it. */
export function ScheduleCard({ schedule, last, now, onCommand }: Props) {
  const { _id, task, version, options, cron, timeZone, missed, overlap } = schedule
  const state = stateOf(schedule)
  const { icon: Icon, label, tone } = LOOK[state]
  return (
    <li
      data-testid="schedule"
      data-schedule={_id}
      data-state={state}
      className="panel dims grid gap-x-5 gap-y-2 px-3 py-2.5 md:grid-cols-[minmax(0,3fr)_minmax(0,2fr)_minmax(0,2fr)_auto]"
    >
      <div className="min-w-0">
        <p className="flex flex-wrap items-center gap-x-3 gap-y-0.5">
          <span className={`inline-flex items-center gap-1.5 font-medium ${tone}`}>
            <Icon size={14} strokeWidth={2.2} aria-hidden className="shrink-0" />
            {label}
          </span>
          <Foreign text={_id} max={128} className="font-semibold" />
        </p>
        <p className="mt-0.5">
          <Foreign text={timingWords(schedule)} max={200} />
          {cron !== undefined && (
            <>
              {' '}
              <span className="text-dim">
                <Foreign text={cron} max={80} className="font-mono text-xs whitespace-nowrap" />{' '}
                <Foreign text={timeZone} max={60} />
              </span>
            </>
          )}
        </p>
        <p className="text-xs text-dim">
          runs <Foreign text={task} max={128} className="font-medium text-text" />@{version} in{' '}
          <Foreign text={options.queue} max={80} />; {MISSED[missed]}
          {overlap === 'skip' && '; one at a time'}
        </p>
      </div>
      <Next schedule={schedule} now={now} />
      <Last schedule={schedule} last={last} now={now} />
      {onCommand !== undefined && <Tools name={_id} paused={schedule.paused} onCommand={onCommand} />}
    </li>
  )
}

function Next({ schedule: { cron, nextAt, paused, timeZone }, now }: { schedule: ScheduleRow; now: number }) {
  const ms = nextAt === undefined ? undefined : Date.parse(nextAt) - now
  return (
    <dl className="min-w-0">
      <dt className="heading">Next run</dt>
      <dd>
        {nextAt === undefined || ms === undefined ? (
          <span className="text-dim">{paused ? 'when it is resumed' : 'none any more'}</span>
        ) : (
          <>
            <span data-testid="countdown" className="font-medium">
              {ms > 0 ? `in ${formatDuration(ms)}` : `due for ${formatAge(-ms)}`}
            </span>
            <time dateTime={nextAt} title={`${formatTime(nextAt)} here`} className="block text-xs text-dim">
              {inZone(nextAt, cron === undefined ? ownZone() : timeZone)}
            </time>
          </>
        )}
      </dd>
    </dl>
  )
}

const SKIPPED = {
  MISSED: 'no worker was there',
  OVERLAP: 'the one before had not ended',
} as const

function Last({ schedule, last, now }: Pick<Props, 'schedule' | 'last' | 'now'>) {
  const { lastSlot, lastTask, lastSkipped } = schedule
  // One that was run by hand is of no slot.
  const ranAt = last?.runAt ?? lastSlot
  return (
    <dl className="min-w-0">
      <dt className="heading">Last run</dt>
      <dd>
        {lastTask === undefined ? (
          <span className="text-dim">none yet</span>
        ) : (
          <>
            <span className="flex flex-wrap items-center gap-x-2">
              {last === undefined ? <span className="text-dim">No longer kept</span> : <StatusBadge task={last} />}
              {ranAt !== undefined && <Ago at={ranAt} now={now} className="text-dim" />}
            </span>
            <span className="block">
              <TaskLink id={lastTask} />
            </span>
          </>
        )}
        {lastSkipped !== undefined && (
          <span className="block text-xs text-warn" title={formatTime(lastSkipped.slot)}>
            left out {formatAge(now - Date.parse(lastSkipped.slot))} ago: {SKIPPED[lastSkipped.reason]}
          </span>
        )}
      </dd>
    </dl>
  )
}

interface ToolsProps {
  name: string
  paused: boolean
  onCommand: (command: ScheduleCommand) => void
}

function Tools({ name, paused, onCommand }: ToolsProps) {
  const shown = visibleLine(name, 60)
  const tools: { command: ScheduleCommand; icon: LucideIcon; label: string }[] = [
    { command: 'run', icon: Play, label: 'Run now' },
    paused
      ? { command: 'resume', icon: CirclePlay, label: 'Resume' }
      : { command: 'pause', icon: CirclePause, label: 'Pause' },
    { command: 'edit', icon: Pencil, label: 'Edit' },
    { command: 'remove', icon: Trash2, label: 'Remove' },
  ]
  return (
    <div className="flex items-start gap-0.5 max-md:-ml-2">
      {tools.map(({ command, icon, label }) => (
        <IconButton
          key={command}
          icon={icon}
          label={`${label} ${shown}`}
          title={label}
          danger={command === 'remove'}
          onClick={() => onCommand(command)}
        />
      ))}
    </div>
  )
}
