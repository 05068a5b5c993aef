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
import type { ReactNode } from 'react'
import { formatAge, formatDuration, formatTime } from '../view/format.ts'
import { timeIn, timingWords } from '../view/schedule-words.ts'
import type { Look } from '../view/status.ts'
import { visibleLine } from '../view/text.ts'
import { zoneName } from '../view/zone.ts'
import { Foreign } from './foreign.tsx'
import { IconButton } from './icon-button.tsx'
import { LookMark } from './look-mark.tsx'
import { RunDots } from './run-dots.tsx'
import { StatusBadge } from './status-badge.tsx'
import { TaskLink } from './task-link.tsx'
import { Time } from './time.tsx'

export type ScheduleCommand = 'run' | 'pause' | 'resume' | 'edit' | 'remove'

interface Props {
  schedule: ScheduleRow
  /** The last task that it made, if it still exists. */
  last: Pick<TaskRow, 'status' | 'control' | 'runAt'> | undefined
  now: number
  /** Selects it. */
  box?: ReactNode
  /** Absent without the permission. */
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
  skip: 'skips missed times',
  latest: 'runs the last missed time',
  all: 'runs all missed times',
}

/** A schedule with its next run, its last run and its commands. */
export function ScheduleCard({ schedule, last, now, box, onCommand }: Props) {
  const { _id, task, version, options, cron, timeZone, missed, overlap } = schedule
  const state = stateOf(schedule)
  return (
    <li
      data-testid="schedule"
      data-schedule={_id}
      data-state={state}
      className="panel dims grid gap-x-5 gap-y-2 px-3 py-2.5 md:grid-cols-[minmax(0,3fr)_minmax(0,2fr)_minmax(0,2fr)_auto]"
    >
      <div className="min-w-0">
        <p className="flex flex-wrap items-center gap-x-3 gap-y-0.5">
          {box !== undefined && <span className="-mx-2.5">{box}</span>}
          <LookMark look={LOOK[state]} />
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
      <RunDots schedule={schedule} last={last} />
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
          <span className="text-dim">{paused ? 'when it is resumed' : 'none'}</span>
        ) : (
          <>
            <span data-testid="countdown" className="font-medium">
              {ms > 0 ? `in ${formatDuration(ms)}` : `due since ${formatAge(-ms)}`}
            </span>
            <time dateTime={nextAt} title={`${formatTime(nextAt)} here`} className="block text-xs text-dim">
              {timeIn(nextAt, cron === undefined ? zoneName() : timeZone)}
            </time>
          </>
        )}
      </dd>
    </dl>
  )
}

const SKIPPED = {
  MISSED: 'no worker was available',
  OVERLAP: 'the last task was still running',
} as const

function Last({ schedule, last, now }: Pick<Props, 'schedule' | 'last' | 'now'>) {
  const { lastSlot, lastTask, lastSkipped } = schedule
  // A task that was run by hand has no scheduled time.
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
              {last === undefined ? <span className="text-dim">removed</span> : <StatusBadge task={last} />}
              {ranAt !== undefined && <Time at={ranAt} now={now} className="text-dim" />}
            </span>
            <span className="block">
              <TaskLink id={lastTask} />
            </span>
          </>
        )}
        {lastSkipped !== undefined && (
          <span className="block text-xs text-warn">
            skipped <Time at={lastSkipped.slot} now={now} />: {SKIPPED[lastSkipped.reason]}
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
