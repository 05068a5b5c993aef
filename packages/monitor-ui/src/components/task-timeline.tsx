import { Link } from '@tanstack/react-router'
import { type AttemptOutcome, afterIds, type TaskRow, type WorkerRow } from '@taskfleet/protocol'
import { useFleetClient, useLiveQuery } from '@taskfleet/react'
import {
  ArrowUp,
  CircleCheck,
  CircleDashed,
  CirclePause,
  CirclePlus,
  CircleX,
  Clock,
  Ellipsis,
  Flag,
  HeartOff,
  Link2,
  type LucideIcon,
  Play,
  RotateCcw,
  Undo2,
  UserRound,
} from 'lucide-react'
import { createContext, type ReactNode, useContext, useState } from 'react'
import { useOnScreen } from '../live/hooks.ts'
import { statusesOf } from '../live/queries.ts'
import { useAsked } from '../live/use-asked.ts'
import { useKeyNames } from '../live/use-key-names.ts'
import { countOf, formatCount } from '../view/counts.ts'
import type { DeadlineState } from '../view/deadline.ts'
import { deedOf } from '../view/deed.ts'
import { formatDuration, formatLatency } from '../view/format.ts'
import { STATUS_LOOK } from '../view/status.ts'
import {
  type AttemptEntry,
  type TimelineEntry,
  type TimelineFacts,
  taskTimeline,
  type WaitEntry,
  type WaitFor,
} from '../view/task-timeline.ts'
import { visibleText } from '../view/text.ts'
import { LinkButton } from './button.tsx'
import { ErrorText } from './error-text.tsx'
import { Foreign } from './foreign.tsx'
import { HostLink } from './host-link.tsx'
import { Stack } from './stack.tsx'
import { TaskLink } from './task-link.tsx'
import { Time } from './time.tsx'

const AGAIN_MS = 10_000
const MOST_DEEDS = 100
/** More entries than this are shown on request. */
const SHOWN = 30

interface Props {
  task: TaskRow
  /** By their ids. */
  workers: ReadonlyMap<string, WorkerRow>
  /** For how long the host that runs it has been silent, in milliseconds. */
  silentMs: number | undefined
  now: number
}

/** All that happened to a task and who did it, the newest first. */
export function TaskTimeline(props: Props) {
  return props.task.after === undefined ? <Audited {...props} predecessors={[]} /> : <After {...props} />
}

function After(props: Props) {
  const { rows } = useLiveQuery(statusesOf(afterIds(props.task)))
  return <Audited {...props} predecessors={rows} />
}

function Audited({ task, workers, silentMs, now, predecessors }: Props & Pick<TimelineFacts, 'predecessors'>) {
  const client = useFleetClient()
  const [ref, visible] = useOnScreen()
  const [all, setAll] = useState(false)
  const names = useKeyNames()
  const { status, control, attempt, basePriority, queue, runAt, deadline } = task
  const { answer, error } = useAsked(() => client.audit.list({ id: task._id, limit: MOST_DEEDS }), {
    // Not the revision: a running task saves a checkpoint every second.
    key: JSON.stringify([task._id, status, control?.at, attempt, basePriority, queue, runAt, deadline]),
    everyMs: AGAIN_MS,
    active: visible,
  })
  const entries = taskTimeline({ task, audit: answer ?? [], predecessors, silentMs, now })
  const isCut = !all && entries.length > SHOWN
  const shown = isCut ? [...entries.slice(0, SHOWN - 1), ...entries.slice(-1)] : entries
  const current = entries.findIndex(({ ahead }) => !ahead)
  return (
    <div ref={ref}>
      <KeyNames value={names}>
        <ol className="flex flex-col" data-testid="timeline">
          {shown.map((entry, index) => (
            <Row key={entry.key} entry={entry} current={index === current} now={now} task={task} workers={workers}>
              {isCut && index === SHOWN - 2 && (
                <LinkButton className="mt-2 text-xs" onClick={() => setAll(true)}>
                  Show {formatCount(entries.length - shown.length)} more
                </LinkButton>
              )}
            </Row>
          ))}
        </ol>
      </KeyNames>
      {error !== undefined && (
        <p className="mt-1 text-xs text-dim">
          Who did what is not shown: <bdi>{visibleText(error.message, 200)}</bdi>
        </p>
      )}
      {answer?.length === MOST_DEEDS && (
        <p className="mt-1 text-xs text-dim">Only the latest {MOST_DEEDS} changes by people are shown.</p>
      )}
    </div>
  )
}

interface RowProps {
  entry: TimelineEntry
  /** The newest of those that are not ahead. */
  current: boolean
  now: number
  task: TaskRow
  workers: ReadonlyMap<string, WorkerRow>
  children: ReactNode
}

function Row({ entry, current, now, task, workers, children }: RowProps) {
  const { icon: Icon, tone } = lookOf(entry, task)
  return (
    <li
      data-kind={entry.kind}
      {...attributesOf(entry)}
      className={`group/row grid grid-cols-[18px_minmax(0,1fr)_auto] gap-x-2.5 ${entry.ahead ? 'text-dim' : ''}`}
    >
      <span className="flex flex-col items-center" aria-hidden>
        <Icon size={15} className={`mt-px shrink-0 ${tone}`} />
        <span className="my-0.5 w-px flex-1 bg-line group-last/row:hidden" />
      </span>
      <div className="min-w-0 pb-2.5">
        <p className={current ? 'font-semibold' : ''}>
          <Words entry={entry} task={task} workers={workers} now={now} />
        </p>
        <More entry={entry} task={task} />
        {children}
      </div>
      <div className="pb-2.5 text-right text-xs whitespace-nowrap text-dim">
        <Time at={entry.at} now={now} />
        {'lastedMs' in entry && (
          <span className="block" title={entry.open ? 'Until now' : 'How long it lasted'}>
            {entry.open ? formatDuration(entry.lastedMs) : formatLatency(entry.lastedMs)}
          </span>
        )}
      </div>
    </li>
  )
}

/** What tests of the whole monitor find entries by. */
function attributesOf(entry: TimelineEntry): Record<`data-${string}`, string> {
  if (entry.kind === 'attempt') return { 'data-testid': 'attempt', 'data-outcome': entry.attempt.outcome ?? 'running' }
  return entry.kind === 'deed' ? { 'data-testid': 'audit-entry' } : {}
}

const OUTCOME_TONE: Record<AttemptOutcome, string> = {
  completed: 'text-done',
  failed: 'text-warn',
  lost: 'text-warn',
  released: 'text-dim',
  paused: 'text-warn',
  cancelled: 'text-dim',
  snoozed: 'text-dim',
  deferred: 'text-dim',
}

/** Red is for a task that ended red. An attempt that was tried again is amber. */
function toneOf({ attempt: { outcome, n }, open }: AttemptEntry, { status, attempt }: TaskRow): string {
  if (open) return 'text-run'
  if (outcome === undefined) return 'text-dim'
  return (outcome === 'failed' || outcome === 'lost') && status === 'failed' && n === attempt
    ? 'text-bad'
    : OUTCOME_TONE[outcome]
}

const WAIT_LOOK: Record<WaitFor, { icon: LucideIcon; tone: string; waits: string; waited: string; ends: string }> = {
  tasks: { icon: Link2, tone: 'text-block', waits: 'Waits for', waited: 'Waited for', ends: '' },
  date: { icon: Clock, tone: 'text-wait', waits: 'Waits for its date', waited: 'Waited for its date', ends: 'starts' },
  retry: {
    icon: RotateCcw,
    tone: 'text-wait',
    waits: 'Waits for the next attempt',
    waited: 'Waited for the next attempt',
    ends: 'due',
  },
  worker: {
    icon: CircleDashed,
    tone: 'text-wait',
    waits: 'Waits for a worker',
    waited: 'Waited for a worker',
    ends: '',
  },
  resume: { icon: CirclePause, tone: 'text-warn', waits: 'Paused', waited: 'Was paused', ends: '' },
}

const DEADLINE_WORDS: Record<DeadlineState, { says: string; tone: string }> = {
  ahead: { says: 'Deadline', tone: 'text-dim' },
  'at-risk': { says: 'Deadline, at risk', tone: 'text-warn' },
  missed: { says: 'Deadline missed', tone: 'text-bad' },
  met: { says: 'Before its deadline', tone: 'text-done' },
}

function lookOf(entry: TimelineEntry, task: TaskRow): { icon: LucideIcon; tone: string } {
  switch (entry.kind) {
    case 'enqueued':
      return { icon: CirclePlus, tone: 'text-dim' }
    case 'wait':
      return { ...WAIT_LOOK[entry.for], ...(!entry.open && { tone: 'text-dim' }) }
    case 'attempt': {
      const { outcome } = entry.attempt
      const icon = entry.open ? Play : outcome === 'completed' ? CircleCheck : outcome === 'failed' ? CircleX : Undo2
      return { icon, tone: toneOf(entry, task) }
    }
    case 'deed':
      return { icon: UserRound, tone: entry.pending ? 'text-warn' : 'text-dim' }
    case 'dropped':
      return { icon: Ellipsis, tone: 'text-dim' }
    case 'silent':
      return { icon: HeartOff, tone: 'text-bad' }
    case 'deadline':
      return { icon: Flag, tone: DEADLINE_WORDS[entry.state].tone }
    case 'raise':
      return { icon: ArrowUp, tone: 'text-dim' }
    case 'end':
      return STATUS_LOOK[entry.status]
  }
}

function Words({ entry, task, workers, now }: Omit<RowProps, 'current' | 'children'>) {
  switch (entry.kind) {
    case 'enqueued':
      return <Enqueued by={entry.by} task={task} />
    case 'wait':
      return <Waited entry={entry} task={task} now={now} />
    case 'attempt':
      return <Attempted entry={entry} task={task} worker={workers.get(entry.attempt.worker)} />
    case 'deed':
      return (
        <>
          <Who by={entry.by} /> {entry.pending ? 'asked to ' : ''}
          <Foreign text={entry.pending ? entry.action : deedOf(entry.action)} max={60} />
          {entry.others > 0 && <span className="text-dim"> with {countOf(entry.others, 'other')}</span>}
          {entry.reason !== undefined && (
            <span className="font-normal text-dim">
              : <Foreign text={entry.reason} max={300} />
            </span>
          )}
          {entry.pending && <span className="font-normal text-warn"> · not done yet</span>}
        </>
      )
    case 'dropped':
      return <span className="text-dim">{countOf(entry.count, 'older attempt')} no longer kept</span>
    case 'silent':
      return (
        <>
          <span className="text-bad">Its host is silent</span>
          <span className="font-normal text-dim"> · another one takes the task when its lease ends</span>
        </>
      )
    case 'deadline':
      return <span className={DEADLINE_WORDS[entry.state].tone}>{DEADLINE_WORDS[entry.state].says}</span>
    case 'raise':
      return <>Its priority rises, because the deadline is near</>
    case 'end':
      return (
        <>
          <span className={STATUS_LOOK[entry.status].tone}>{STATUS_LOOK[entry.status].label}</span>
          <span className="font-normal text-dim"> · {formatLatency(entry.tookMs)} after it was enqueued</span>
        </>
      )
  }
}

/** Names of keys by their ids, asked for once. */
const KeyNames = createContext<ReadonlyMap<string, string>>(new Map())

function Who({ by }: { by: string }) {
  const names = useContext(KeyNames)
  return <Foreign text={names.get(by) ?? by} max={60} className="font-medium" />
}

function Enqueued({ by, task: { schedule, event, parent, replayOf } }: { by: string | undefined; task: TaskRow }) {
  return (
    <>
      Enqueued
      {schedule !== undefined && (
        <>
          {' by the schedule '}
          <Link to="/schedules" search={{ name: schedule }} className="text-run hover:underline">
            <Foreign text={schedule} max={80} />
          </Link>
        </>
      )}
      {by !== undefined && (
        <>
          , run by <Who by={by} />
        </>
      )}
      {event !== undefined && (
        <>
          {' by the event '}
          <Foreign text={event} max={40} className="font-mono text-xs" />
        </>
      )}
      {parent !== undefined && (
        <>
          {' by the task '}
          <TaskLink id={parent} />
        </>
      )}
      {replayOf !== undefined && (
        <>
          {' as a replay of '}
          <TaskLink id={replayOf} />
        </>
      )}
    </>
  )
}

function Waited({ entry, task, now }: { entry: WaitEntry; task: TaskRow; now: number }) {
  const { waits, waited, ends } = WAIT_LOOK[entry.for]
  return (
    <span className={entry.open ? '' : 'text-dim'}>
      {entry.open ? waits : waited}
      {entry.for === 'tasks' && ` ${countOf(afterIds(task).length, 'task')}`}
      {entry.until !== undefined && (
        <span className="font-normal text-dim">
          {' · '}
          {ends} <Time at={entry.until} now={now} />
        </span>
      )}
    </span>
  )
}

function Attempted({ entry, task, worker }: { entry: AttemptEntry; task: TaskRow; worker: WorkerRow | undefined }) {
  const { n, host, outcome, worker: id, survived } = entry.attempt
  // Attempts of earlier versions have only the worker's id.
  const name = host ?? worker?.name
  return (
    <>
      Attempt {n} on{' '}
      {name === undefined ? <Foreign text={id} max={60} className="font-mono text-xs" /> : <HostLink name={name} />}
      {worker?.host !== undefined && worker.host !== name && (
        <span className="font-normal text-dim">
          {' '}
          <Foreign text={worker.host} max={60} className="font-mono text-[11px]" />
        </span>
      )}
      {' · '}
      <span className={`font-medium ${toneOf(entry, task)}`}>{outcome ?? (entry.open ? 'running' : 'not closed')}</span>
      {survived && <span className="font-normal text-dim"> · its host came back: it had kept running</span>}
    </>
  )
}

/** The error of an attempt or of an end. */
function More({ entry, task }: { entry: TimelineEntry; task: TaskRow }) {
  if (entry.kind === 'end' && entry.error !== undefined) {
    return (
      <p className="text-xs">
        <ErrorText error={entry.error} max={400} tone={STATUS_LOOK[entry.status].tone} />
      </p>
    )
  }
  if (entry.kind !== 'attempt' || entry.attempt.error === undefined) return null
  const { error } = entry.attempt
  return (
    <div data-testid="attempt-error" className="text-xs">
      <ErrorText error={error} max={400} className="text-dim" tone={toneOf(entry, task)} />
      <Stack stack={error.stack} />
    </div>
  )
}
