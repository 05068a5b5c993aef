import { getRouteApi, Link } from '@tanstack/react-router'
import type { ConnectionState, WatchSource } from '@taskfleet/client'
import { durationText, hasEnded, type TaskRow, taskLabels, type WorkerRow } from '@taskfleet/protocol'
import { useConnection, useLiveQuery } from '@taskfleet/react'
import { useLiveTask } from '@taskfleet/react/internal'
import { ArrowLeft } from 'lucide-react'
import { Fragment, lazy, type ReactNode, Suspense } from 'react'
import { Copyable } from '../components/copy.tsx'
import { Dependants, Predecessors, useDependants } from '../components/dependencies.tsx'
import { ErrorText } from '../components/error-text.tsx'
import { Foreign } from '../components/foreign.tsx'
import { JsonTree } from '../components/json-tree.tsx'
import { LikeThis } from '../components/like-this.tsx'
import { loadRateChart } from '../components/load-rate-chart.ts'
import { EmptyNote, RowsProblem } from '../components/notes.tsx'
import { ProgressBar } from '../components/progress-bar.tsx'
import { Segments } from '../components/segments.tsx'
import { SourceMark } from '../components/source-mark.tsx'
import { Stack } from '../components/stack.tsx'
import { StatusBadge } from '../components/status-badge.tsx'
import { TaskActions } from '../components/task-actions.tsx'
import { endedText, leftText, progressText, rateText } from '../components/task-figures.tsx'
import { RequestedControl, TaskLabels } from '../components/task-head.tsx'
import { attemptsText } from '../components/task-line.tsx'
import { TaskLog } from '../components/task-log.tsx'
import { TaskTimeline } from '../components/task-timeline.tsx'
import { waitText } from '../components/waiting-list.tsx'
import { WatchButton } from '../components/watch-button.tsx'
import { WhyWaiting } from '../components/why-waiting.tsx'
import { useWorkers } from '../live/hooks.ts'
import { oneTask } from '../live/queries.ts'
import { useTitle } from '../shell/use-title.ts'
import { countOf } from '../view/counts.ts'
import { type DeadlineState, deadlineState, deadlineText } from '../view/deadline.ts'
import { DOWNLOAD } from '../view/download-task.ts'
import { formatDuration, formatPercent, formatTime, formatWhen } from '../view/format.ts'
import { priorityName } from '../view/priority.ts'
import { STATUS_LOOK } from '../view/status.ts'
import { taskTitle } from '../view/task-title.ts'
import { visibleLine } from '../view/text.ts'

const RateChart = lazy(loadRateChart)
const route = getRouteApi('/tasks/$id')

export function TaskPage() {
  const { id } = route.useParams()
  return <TaskById key={id} id={id} />
}

function TaskById({ id }: { id: string }) {
  const { rows, loaded, error, tryAgain } = useLiveQuery(oneTask(id))
  const workers = useWorkers()
  const task = rows[0]
  if (task !== undefined) return <TaskView task={task} workers={workers} />
  return (
    <div className="mx-auto w-full max-w-[1400px] p-4">
      <RowsProblem views={[{ error, tryAgain }]} />
      {error === undefined && (
        <EmptyNote title={loaded ? 'This task does not exist' : 'Loading…'}>
          {loaded ? 'It may have been removed by retention. ' : ''}
          <span className="font-mono">{visibleLine(id, 40)}</span>
        </EmptyNote>
      )}
    </div>
  )
}

function TaskView({ task, workers }: { task: TaskRow; workers: ReadonlyMap<string, WorkerRow> }) {
  const worker = task.worker === undefined ? undefined : workers.get(task.worker)
  // Watched in every status: the socket of a waiting task opens when a worker claims it.
  const { watched, points, progress, ratio, rate, secondsLeft, source, now } = useLiveTask(task, worker, {
    watch: true,
    detailed: true,
  })
  const title = taskTitle(task)
  const ended = hasEnded(task.status)
  const running = task.status === 'running'
  const begun = task.startedAt ?? task.claimedAt
  const lasted =
    begun === undefined
      ? undefined
      : (task.finishedAt === undefined ? now : Date.parse(task.finishedAt)) - Date.parse(begun)
  const lastWorker = task.worker ?? task.attempts?.at(-1)?.worker
  const host = task.host ?? (lastWorker === undefined ? undefined : (workers.get(lastWorker)?.name ?? lastWorker))
  const labels = taskLabels(task, now)
  const { line } = route.useSearch()
  useTitle(`${running && ratio !== undefined ? `${Math.floor(ratio * 100)} % ` : ''}${title}`)

  return (
    <div
      className="mx-auto flex w-full max-w-[1400px] flex-col gap-3 p-3 sm:p-4"
      data-testid="task-page"
      data-task={task._id}
      data-status={task.status}
      data-source={source.kind}
    >
      <Link to="/tasks" className="inline-flex w-fit items-center gap-1 text-xs font-medium text-dim hover:text-text">
        <ArrowLeft size={13} aria-hidden /> Tasks
      </Link>
      <section className="panel dims p-4" aria-label="State">
        <div className="flex flex-wrap items-start gap-x-4 gap-y-2">
          <div className="min-w-0 flex-1 basis-64">
            <h1 className="text-lg leading-snug font-semibold">
              <Foreign text={title} max={300} />
            </h1>
            <div className="mt-1 flex flex-wrap items-center gap-x-3 gap-y-1 text-dim">
              <StatusBadge task={task} />
              {labels.map((label) => (
                <span key={label} className={label === 'overdue' ? 'text-bad' : ''}>
                  {label}
                </span>
              ))}
              {!running && !ended && waitText(task, now) !== '' && <span>{waitText(task, now)}</span>}
              <SourceMark source={source} />
              <Copyable text={task._id} label="id" />
            </div>
            <TaskLabels task={task} />
            {task.control !== undefined && !ended && <RequestedControl control={task.control} now={now} />}
          </div>
          <div className="flex flex-wrap gap-2">
            {!ended && <WatchButton task={task._id} />}
            <TaskActions task={task} />
          </div>
        </div>
        {(running || progress !== undefined) && (
          <div className="mt-4">
            <ProgressBar
              tall
              ratio={running || ratio !== undefined ? ratio : 0}
              label={`Progress of ${visibleLine(title, 80)}`}
              tone={source.kind === 'silent' ? 'text-bad' : STATUS_LOOK[task.status].tone}
            />
            {progress?.message !== undefined && (
              <p className="mt-1.5 text-dim">
                <Foreign text={progress.message} max={300} />
              </p>
            )}
          </div>
        )}
        <dl className="mt-3 grid grid-cols-[repeat(auto-fit,minmax(130px,1fr))] gap-x-4 gap-y-3">
          <Figure label="Progress" value={ratio === undefined ? '–' : formatPercent(ratio)} />
          <Figure
            label="Done"
            value={<span data-testid="task-bytes">{(ended ? endedText(task) : progressText(progress)) || '–'}</span>}
            wide
          />
          {running && <Figure label="Rate" value={rateText(rate, progress) || '–'} />}
          {running && <Figure label="Time left" value={leftText(secondsLeft).replace(' left', '') || '–'} />}
          <Figure
            label={ended ? 'Took' : running ? 'Runs for' : 'First started'}
            value={lasted === undefined ? '–' : `${formatDuration(lasted)}${running || ended ? '' : ' ago'}`}
          />
          <Figure
            label={running ? 'Host' : 'Last host'}
            value={host === undefined ? '–' : <Foreign text={host} max={60} />}
          />
          <Figure label="Attempt" value={`${attemptsText(task)}${task.lost > 0 ? `, ${task.lost} lost` : ''}`} />
          <DeadlineFigure task={task} now={now} />
        </dl>
      </section>

      <WhyWaiting task={task} />
      {task.status === 'failed' && <ErrorPanel task={task} />}

      <div className="grid items-start gap-3 lg:grid-cols-[minmax(0,1.7fr)_minmax(0,1fr)]">
        <div className="flex min-w-0 flex-col gap-3">
          <Panel title="Timeline">
            <TaskTimeline
              task={task}
              workers={workers}
              silentMs={source.kind === 'silent' ? source.ageMs : undefined}
              now={now}
            />
          </Panel>
          <TaskLog task={task} live={watched.log} heard={watched.source.state === 'live'} line={line} />
        </div>
        <div className="flex min-w-0 flex-col gap-3">
          {(running || points.length > 1) && (
            <Panel title="Rate">
              {points.length > 1 && progress?.done !== undefined ? (
                <Suspense fallback={<div className="h-[170px]" />}>
                  <RateChart points={points} unit={progress.unit} />
                </Suspense>
              ) : (
                <p className="flex h-[170px] items-center justify-center text-dim">
                  {progress !== undefined && progress.done === undefined
                    ? 'This task reports no amount, so it has no rate.'
                    : 'Waiting for two reports…'}
                </p>
              )}
            </Panel>
          )}
          {task.name === DOWNLOAD && task.attempt > 0 && task.status !== 'completed' && (
            <Panel title="Segments">
              <Segments task={task} />
            </Panel>
          )}
          <LikeThis task={task} now={now} endKnown={secondsLeft !== undefined} />
          <Dependencies task={task} />
          <Panel title="Input">
            <JsonTree value={task.input ?? null} root="input" label="Input" />
          </Panel>
          {task.output !== undefined && (
            <Panel title="Output">
              <JsonTree value={task.output} root="output" label="Output" />
            </Panel>
          )}
          <Panel title="Details">
            <Details task={task} watch={watched.source} now={now} />
          </Panel>
        </div>
      </div>
    </div>
  )
}

/** What it waits for and what waits for it; nothing for a task that stands alone. */
function Dependencies({ task }: { task: TaskRow }) {
  const dependants = useDependants(task._id)
  return (
    <>
      {task.after !== undefined && (
        <Panel title={task.status === 'blocked' ? 'Waits for' : 'Comes after'}>
          <Predecessors task={task} />
        </Panel>
      )}
      {dependants.length > 0 && (
        <Panel title={hasEnded(task.status) ? 'Comes before' : 'Waited for by'}>
          <Dependants rows={dependants} />
        </Panel>
      )}
    </>
  )
}

function Panel({ title, children }: { title: string; children: ReactNode }) {
  return (
    <section className="panel min-w-0 p-3" aria-label={title}>
      <h2 className="heading mb-2">{title}</h2>
      {children}
    </section>
  )
}

function Figure({ label, value, wide = false }: { label: string; value: ReactNode; wide?: boolean }) {
  return (
    <div className={wide ? 'min-w-[150px]' : undefined}>
      <dt className="text-xs text-dim">{label}</dt>
      <dd className="text-[15px] font-semibold">{value}</dd>
    </div>
  )
}

const DEADLINE_LOOK: Record<DeadlineState, { mark: string; tone: string }> = {
  ahead: { mark: '', tone: '' },
  'at-risk': { mark: 'at risk', tone: 'text-warn' },
  missed: { mark: '', tone: 'text-bad' },
  met: { mark: '', tone: 'text-done' },
}

function DeadlineFigure({ task, now }: { task: TaskRow; now: number }) {
  const state = deadlineState(task, now)
  if (state === undefined) return null
  const { mark, tone } = DEADLINE_LOOK[state]
  return (
    <Figure
      label="Deadline"
      wide
      value={
        <span
          data-testid="deadline"
          data-state={state}
          className={tone}
          title={task.deadline === undefined ? undefined : formatTime(task.deadline)}
        >
          {deadlineText(task, now)}
          {mark !== '' && <span className="ml-2 text-xs font-medium">{mark}</span>}
        </span>
      }
    />
  )
}

function ErrorPanel({ task }: { task: TaskRow }) {
  const { error } = task
  if (error === undefined) return null
  return (
    <section className="panel min-w-0 border-bad/50 p-3" aria-label="Error">
      <h2 className="heading mb-1.5">Error</h2>
      <p className="flex flex-wrap items-baseline gap-x-2">
        <ErrorText error={error} max={1_000} className="min-w-0" />
      </p>
      <p className="mt-1 text-xs text-dim">
        <Foreign text={error.name} max={60} /> · fingerprint{' '}
        <Copyable text={error.fingerprint} label="fingerprint" max={24} /> ·{' '}
        <Link
          to="/errors/$fingerprint"
          params={{ fingerprint: error.fingerprint }}
          className="text-run hover:underline"
        >
          All of this error
        </Link>
      </p>
      <Stack stack={error.stack} />
    </section>
  )
}

/** How the live figures reach this page. */
function reachText(watch: WatchSource, connection: ConnectionState): string {
  if (connection !== 'live') return 'The gateway is unreachable. The page keeps trying to reconnect.'
  switch (watch.state) {
    case 'connecting':
      return 'Connecting to its host…'
    case 'live':
      return watch.via === 'direct' ? 'Directly to its host.' : 'Through the gateway to its host.'
    case 'stored':
      return 'Its worker does not listen. Figures come from the database, where they are stored about once a second.'
    case 'unreachable':
      return `Its host is unreachable (${visibleLine(watch.reason, 120)}). Figures come from the database, where they are stored about once a second.`
    case 'waiting':
      return 'No worker runs it now. Figures are live again when a worker claims it.'
    case 'ended':
      return 'It has ended.'
  }
}

interface DetailsProps {
  task: TaskRow
  watch: WatchSource
  now: number
}

function Details({ task, watch, now }: DetailsProps) {
  const { state } = useConnection()
  const { publicUrl, lazy, priority, basePriority } = task
  const text = (value: string) => <Foreign text={value} max={128} />
  const copy = (value: string | undefined, label: string) => value && <Copyable text={value} label={label} />
  const span = (ms: number | undefined) => ms !== undefined && durationText(ms)
  const date = (at: string | undefined) => at && <Moment at={at} now={now} />
  const details: [label: string, value: ReactNode][] = [
    ['Connection', reachText(watch, state)],
    ['Socket', copy(publicUrl, 'socket address')],
    ['Handler', text(`${task.name}@${task.version}`)],
    ['Queue', text(task.queue)],
    [
      'Priority',
      `${priority} (${priorityName(priority)})${basePriority === undefined || basePriority === priority ? '' : `, requested ${basePriority}`}`,
    ],
    ['Lazy', lazy && 'runs only while its host is not overloaded'],
    ['Failures', failuresText(task)],
    ['Attempt limit', span(task.timeout)],
    ['Total limit', span(task.totalTimeout)],
    ['Stall limit', span(task.stall)],
    ['Created', date(task.createdAt)],
    ['Active from', date(task.runAt)],
    ['Deadline', date(task.deadline)],
    ['Started', date(task.startedAt)],
    ['Ended', date(task.finishedAt)],
    ['Kept until', date(task.expireAt)],
    ['Key', copy(task.key, 'key')],
    ['Event', copy(task.event, 'event')],
    ['Worker id', copy(task.worker, 'worker id')],
  ]
  return (
    <dl className="grid grid-cols-[minmax(84px,auto)_minmax(0,1fr)] gap-x-3 gap-y-1.5">
      {details
        .filter(([, value]) => value !== undefined && value !== '' && value !== false)
        .map(([label, value]) => (
          <Fragment key={label}>
            <dt className="text-dim">{label}</dt>
            <dd className="min-w-0">{value}</dd>
          </Fragment>
        ))}
    </dl>
  )
}

function failuresText({ failures, maxAttempts, retry, lost }: TaskRow): string {
  const counted = retry?.counts === 'without-progress' ? ', only those without progress count' : ''
  return `${failures} of ${maxAttempts} allowed${counted}${lost > 0 ? `; ${countOf(lost, 'attempt')} lost with its host` : ''}`
}

function Moment({ at, now }: { at: string; now: number }) {
  return (
    <>
      {formatTime(at)} <span className="text-dim">({formatWhen(at, now)})</span>
    </>
  )
}
