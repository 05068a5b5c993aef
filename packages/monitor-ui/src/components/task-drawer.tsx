import { Link } from '@tanstack/react-router'
import { type CommandName, hasEnded, type TaskRow, taskLabels, type WorkerRow } from '@taskfleet/protocol'
import { useLiveQuery } from '@taskfleet/react'
import { useLiveTask } from '@taskfleet/react/internal'
import { ChevronLeft, ChevronRight, SquareArrowOutUpRight, X } from 'lucide-react'
import { type ReactNode, useEffect, useLayoutEffect, useRef } from 'react'
import { useWorkers } from '../live/hooks.ts'
import { oneTask } from '../live/queries.ts'
import { SEQUENCE_MS } from '../shell/shortcuts.ts'
import { isPossible } from '../view/commands.ts'
import { formatDuration, formatPercent } from '../view/format.ts'
import { STATUS_LOOK } from '../view/status.ts'
import { hostOf, runOf } from '../view/task-columns.ts'
import { taskTitle } from '../view/task-title.ts'
import { visibleLine } from '../view/text.ts'
import { Copyable } from './copy.tsx'
import { DeadlineLabel } from './deadline-label.tsx'
import { ErrorText } from './error-text.tsx'
import { Foreign } from './foreign.tsx'
import { HostLink } from './host-link.tsx'
import { IconButton } from './icon-button.tsx'
import { JsonTree } from './json-tree.tsx'
import { EmptyNote, RowsProblem } from './notes.tsx'
import { ProgressBar } from './progress-bar.tsx'
import { SourceMark } from './source-mark.tsx'
import { Stack } from './stack.tsx'
import { StatusBadge } from './status-badge.tsx'
import { TaskActions } from './task-actions.tsx'
import { endedText, leftText, progressText, rateText } from './task-figures.tsx'
import { RequestedControl, TaskLabels } from './task-head.tsx'
import { attemptsText, ROW_KEYS } from './task-line.tsx'
import { TaskLog } from './task-log.tsx'
import { Time } from './time.tsx'
import { waitText } from './waiting-list.tsx'
import { WatchButton } from './watch-button.tsx'
import { WhyWaiting } from './why-waiting.tsx'

interface Props {
  id: string
  /** Its place in the list, such as "3 of 200"; undefined if the list doesn't have it. */
  place: string | undefined
  /** Opens the next or the previous task of the list; undefined at its ends. */
  onNext: (() => void) | undefined
  onPrevious: (() => void) | undefined
  onClose: () => void
  /** Undefined if the key may not change tasks. */
  onCommand: ((command: CommandName, task: TaskRow) => void) | undefined
}

/**
 * A task beside the list, over its right side; over the whole page on a phone. ← and → go through the list, Escape closes. The list
 * can still be used.
 */
export function TaskDrawer(props: Props) {
  const { id, place, onNext, onPrevious, onClose } = props
  const box = useRef<HTMLElement>(null)
  // Its keys scroll it, and Tab goes on into it.
  useLayoutEffect(() => box.current?.focus({ preventScroll: true }), [])
  const { rows, loaded, error, tryAgain } = useLiveQuery(oneTask(id))
  const workers = useWorkers()
  const task = rows[0]
  useDrawerKeys({ ...props, task })
  // On purpose: another task starts at its top
  useEffect(() => box.current?.scrollTo?.({ top: 0 }), [id])
  return (
    <section
      ref={box}
      // biome-ignore lint/a11y/noNoninteractiveTabindex: it takes the focus when it opens, and keys scroll it
      tabIndex={0}
      aria-label="Open task"
      data-testid="task-drawer"
      data-task={id}
      data-status={task?.status}
      className="drawer absolute inset-y-0 right-0 z-30 flex w-[min(620px,100%)] flex-col overflow-auto overscroll-contain border-l border-line bg-bg shadow-2xl focus-visible:outline-none max-sm:fixed max-sm:inset-0 max-sm:z-40"
    >
      <div className="sticky top-0 z-20 flex items-center gap-1 border-b border-line bg-panel py-1 pr-2 pl-3">
        <span role="status" className="text-xs text-dim">
          {place ?? 'Not in the list'}
        </span>
        <span className="ml-auto flex items-center gap-1">
          <MoveButton icon={ChevronLeft} label="Previous task" keys="← or k" move={onPrevious} />
          <MoveButton icon={ChevronRight} label="Next task" keys="→ or j" move={onNext} />
          <Link to="/tasks/$id" params={{ id }} className="button" title="All about this task, on a page of its own">
            <SquareArrowOutUpRight size={14} aria-hidden /> Full page
          </Link>
          <IconButton icon={X} label="Close the task" title="Close (Esc)" onClick={onClose} />
        </span>
      </div>
      {task === undefined ? (
        <div className="p-3">
          <RowsProblem views={[{ error, tryAgain }]} />
          {error === undefined && (
            <EmptyNote title={loaded ? 'This task does not exist' : 'Loading…'}>
              {loaded ? 'It may have been removed by retention. ' : ''}
              <span className="font-mono">{visibleLine(id, 40)}</span>
            </EmptyNote>
          )}
        </div>
      ) : (
        <OpenTask key={id} task={task} worker={task.worker === undefined ? undefined : workers.get(task.worker)} />
      )}
    </section>
  )
}

function MoveButton({
  icon,
  label,
  keys,
  move,
}: {
  icon: typeof X
  label: string
  keys: string
  move: (() => void) | undefined
}) {
  return (
    <IconButton
      icon={icon}
      label={label}
      title={`${label} (${keys})`}
      className={move === undefined ? 'opacity-40' : ''}
      onClick={() => move?.()}
    />
  )
}

/** Before the keys of the page, which move the focus among the rows. */
function useDrawerKeys(props: Props & { task: TaskRow | undefined }): void {
  const latest = useRef(props)
  latest.current = props
  useEffect(() => {
    // The key after g names a page.
    let pageUntil = 0
    const onKey = (event: KeyboardEvent) => {
      const isPage = event.timeStamp < pageUntil
      pageUntil = event.key === 'g' ? event.timeStamp + SEQUENCE_MS : 0
      if (isPage || event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return
      const target = event.target instanceof HTMLElement ? event.target : undefined
      if (document.querySelector('dialog[open]') !== null) return
      // The edges of headings are moved by arrows.
      if (target?.matches('[role=separator]') && event.key.startsWith('Arrow')) return
      if (target?.matches('input:not([type=checkbox]), textarea, select, [contenteditable]')) return
      const { task, onNext, onPrevious, onClose, onCommand } = latest.current
      const command = ROW_KEYS[event.key]?.find((one) => task !== undefined && isPossible(one, task))
      const act: Partial<Record<string, () => void>> = {
        ArrowRight: onNext,
        j: onNext,
        ArrowLeft: onPrevious,
        k: onPrevious,
        Escape: onClose,
        ...(command && task && onCommand && { [event.key]: () => onCommand(command, task) }),
      }
      // At an end of the list j and k do nothing, instead of what they do in the page.
      if (act[event.key] === undefined && event.key !== 'j' && event.key !== 'k') return
      event.preventDefault()
      event.stopPropagation()
      act[event.key]?.()
    }
    document.addEventListener('keydown', onKey, { capture: true })
    return () => document.removeEventListener('keydown', onKey, { capture: true })
  }, [])
}

function OpenTask({ task, worker }: { task: TaskRow; worker: WorkerRow | undefined }) {
  const live = useLiveTask(task, worker, { watch: true, detailed: true })
  const { watched, progress, ratio, rate, secondsLeft, source, now } = live
  const running = task.status === 'running'
  const ended = hasEnded(task.status)
  const host = hostOf(task, worker)
  const ran = runOf(task, now)
  const amount = ended ? endedText(task) : progressText(progress)
  const title = taskTitle(task)
  const facts: Record<string, ReactNode> = {
    Done: amount,
    Rate: running && (rateText(rate, progress) || '–'),
    'Time left': running && (leftText(secondsLeft).replace(' left', '') || '–'),
    [ended ? 'Took' : running ? 'Runs for' : 'First started']:
      ran !== undefined && `${formatDuration(ran)}${running || ended ? '' : ' ago'}`,
    Host: host !== undefined && <HostLink name={host} />,
    Attempt: `${attemptsText(task)}${task.lost > 0 ? `, ${task.lost} lost` : ''}`,
    Queue: (
      <Link to="/queues/$queue" params={{ queue: task.queue }} className="hover:underline">
        <Foreign text={task.queue} max={60} />
      </Link>
    ),
    Created: <Time at={task.createdAt} now={now} />,
    Ended: task.finishedAt !== undefined && <Time at={task.finishedAt} now={now} />,
  }
  return (
    <div className="flex min-w-0 flex-col gap-3 p-3" data-source={source.kind}>
      <section className="panel dims p-3" aria-label="State">
        <h2 className="text-base leading-snug font-semibold">
          <Foreign text={title} max={300} />
        </h2>
        <div className="mt-1 flex flex-wrap items-center gap-x-3 gap-y-1 text-dim">
          <StatusBadge task={task} />
          {taskLabels(task, now)
            .filter((label) => label !== 'overdue')
            .map((label) => (
              <span key={label}>{label}</span>
            ))}
          {!running && !ended && waitText(task, now) !== '' && <span>{waitText(task, now)}</span>}
          <DeadlineLabel task={task} now={now} />
          <SourceMark source={source} />
        </div>
        <div className="mt-1 flex flex-wrap items-center gap-x-3 gap-y-1 text-dim">
          <Link to="/tasks" search={{ name: task.name }} className="hover:underline" title="All tasks of this handler">
            <Foreign text={`${task.name}@${task.version}`} max={80} />
          </Link>
          <Copyable text={task._id} label="id" />
        </div>
        <TaskLabels task={task} />
        {task.control !== undefined && !ended && <RequestedControl control={task.control} now={now} />}
        {(running || progress !== undefined) && (
          <div className="mt-3 flex items-center gap-3">
            <div className="flex-1">
              <ProgressBar
                tall
                ratio={running || ratio !== undefined ? ratio : 0}
                label={`Progress of ${visibleLine(title, 80)}`}
                tone={source.kind === 'silent' ? 'text-bad' : STATUS_LOOK[task.status].tone}
              />
            </div>
            {ratio !== undefined && <span className="font-semibold">{formatPercent(ratio)}</span>}
          </div>
        )}
        {progress?.message !== undefined && (
          <p className="mt-1.5 text-dim">
            <Foreign text={progress.message} max={300} />
          </p>
        )}
        <dl className="mt-3 grid grid-cols-[repeat(auto-fill,minmax(120px,1fr))] gap-x-4 gap-y-2">
          {Object.entries(facts).map(
            ([label, value]) =>
              value !== false &&
              value !== '' && (
                <div key={label} className="min-w-0">
                  <dt className="text-xs text-dim">{label}</dt>
                  <dd className="font-medium">{value}</dd>
                </div>
              ),
          )}
        </dl>
        <div className="mt-3 flex flex-wrap gap-2">
          <TaskActions task={task} />
          {!ended && <WatchButton task={task._id} />}
        </div>
      </section>
      {task.error !== undefined && task.status !== 'completed' && (
        <section className={`panel p-3 ${task.status === 'failed' ? 'border-bad/50' : ''}`} aria-label="Error">
          <h3 className="heading mb-1.5">{task.status === 'failed' ? 'Error' : 'Last error'}</h3>
          <p>
            <ErrorText error={task.error} max={1_000} />
          </p>
          <Link
            to="/errors/$fingerprint"
            params={{ fingerprint: task.error.fingerprint }}
            className="text-xs text-run hover:underline"
          >
            All of this error
          </Link>
          <Stack stack={task.error.stack} />
        </section>
      )}
      <WhyWaiting task={task} />
      <Part title="Input">
        <JsonTree value={task.input ?? null} root="input" label="Input" />
      </Part>
      {task.output !== undefined && (
        <Part title="Output">
          <JsonTree value={task.output} root="output" label="Output" />
        </Part>
      )}
      <TaskLog task={task} live={watched.log} heard={watched.source.state === 'live'} />
    </div>
  )
}

function Part({ title, children }: { title: string; children: ReactNode }) {
  return (
    <section className="panel min-w-0 p-3" aria-label={title}>
      <h3 className="heading mb-2">{title}</h3>
      {children}
    </section>
  )
}
