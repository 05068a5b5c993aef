import { Link } from '@tanstack/react-router'
import { type CommandName, hasEnded, type TaskRow, taskLabels, type WorkerRow } from '@taskfleet/protocol'
import type { LiveTask } from '@taskfleet/react'
import { useLiveTask } from '@taskfleet/react/internal'
import { type CSSProperties, type MouseEvent, memo, type ReactNode } from 'react'
import { COMMAND_WORDS, isPossible } from '../view/commands.ts'
import { formatAge, formatDuration, formatPercent, formatTime } from '../view/format.ts'
import { hostOf, runOf, type TaskColumn, valueAt, waitOf } from '../view/task-columns.ts'
import { taskTitle } from '../view/task-title.ts'
import { visibleLine } from '../view/text.ts'
import { DeadlineLabel } from './deadline-label.tsx'
import { Foreign } from './foreign.tsx'
import { IconButton } from './icon-button.tsx'
import { Pinned } from './pinned.tsx'
import { ProgressBar } from './progress-bar.tsx'
import { SourceMark } from './source-mark.tsx'
import { StatusBadge } from './status-badge.tsx'
import { Amount, endedText, leftText, rateText } from './task-figures.tsx'
import { Time } from './time.tsx'
import { PriorityMark, waitText } from './waiting-list.tsx'

/** How wide rows are laid out, and in which columns. A narrow screen has cards instead. */
export interface LineLayout {
  columns: readonly TaskColumn[]
  /** How many of the first columns stay while the list scrolls sideways. */
  pinned: number
  /** A row has one line only. */
  dense: boolean
}

/** The classes of a row and of the heading. */
export const LINE = 'grid gap-x-3 px-3'
/** The list sets the property. */
export const TRACKS: CSSProperties = { gridTemplateColumns: 'var(--tracks)' }
const CARD = 'grid-cols-[minmax(0,1fr)_auto]'
const SELECTABLE_CARD = 'grid-cols-[20px_minmax(0,1fr)_auto]'

/** The commands that a row offers, with their keys. */
export const ROW_KEYS: Partial<Record<string, readonly CommandName[]>> = {
  p: ['pause', 'resume'],
  r: ['retry'],
  R: ['replay'],
  c: ['cancel'],
}
const ROW_COMMANDS = Object.entries(ROW_KEYS).flatMap(([key, commands = []]) =>
  commands.map((command) => ({ key: key === 'R' ? 'Shift R' : key, command })),
)

interface Props {
  task: TaskRow
  worker: WorkerRow | undefined
  /** It has left the list and only keeps its place. */
  gone: boolean
  visible: boolean
  /** Its place in the list, from 1, for assistive technology. */
  place: number
  /** Undefined on a narrow screen. */
  layout: LineLayout | undefined
  /** It is shown beside the list. */
  open: boolean
  /** It is as it was when it was read, and doesn't change by itself. */
  past: boolean
  /** Called when its title was clicked, unless for another tab. */
  onOpen: (id: string) => void
  onCommand: (command: CommandName, task: TaskRow) => void
  /** Whether it is selected; `undefined` if rows can't be selected or changed. */
  selected: boolean | undefined
  /** Called when its box was clicked; with `range`, for all rows from the last one. */
  onSelect: (id: string, range: boolean) => void
}

/** A task as a line of the list; a card on a narrow screen. */
export const TaskLine = memo(function TaskLine(props: Props) {
  const { task, worker, gone, visible, place, layout, open, past, selected } = props
  const live = useLiveTask(task, worker, { watch: visible && !gone && task.status === 'running' })
  const shown = { task, live, host: hostOf(task, worker), open: props.onOpen }
  const select = selected !== undefined && <SelectCell {...props} />
  const look = open ? 'bg-tint-open' : selected === true ? 'bg-tint-chosen' : 'bg-panel hover:bg-tint'
  const grid = layout === undefined ? (selected === undefined ? CARD : SELECTABLE_CARD) : ''
  const { columns = [], pinned = 0, dense = false } = layout ?? {}
  const cells = columns.map(({ id, right = false }) => (
    <div
      key={id}
      role="cell"
      className={`min-w-0 overflow-clip group-data-dense:whitespace-nowrap ${right ? 'text-right whitespace-nowrap' : ''}`}
    >
      <Cell {...shown} id={id} />
    </div>
  ))
  // The link of the title covers the row. It can't reach out of pinned cells unless it is one of them.
  const hasTitle = columns.slice(0, pinned).some(({ id }) => id === 'title')
  return (
    <div
      role="row"
      tabIndex={-1}
      aria-rowindex={place + 1}
      data-testid="task-row"
      data-task={task._id}
      data-status={task.status}
      data-source={live.source.kind}
      data-gone={gone || undefined}
      data-past={past || undefined}
      data-open={open || undefined}
      data-selected={selected || undefined}
      data-pinned={pinned > 0 || undefined}
      data-dense={dense || undefined}
      style={layout === undefined ? undefined : TRACKS}
      className={`dims group relative h-full items-center border-b border-line ${dense ? '' : 'py-1.5'} ${pinned > 0 ? 'overflow-x-clip' : ''} ${look} ${LINE} ${grid} ${gone ? 'opacity-40' : ''}`}
    >
      {layout === undefined ? (
        <>
          {select}
          <Card {...shown} selectable={selected !== undefined} />
        </>
      ) : (
        <>
          <Pinned
            tracks={pinned === 0 ? 0 : pinned + (selected === undefined ? 0 : 1)}
            className={`${dense ? '' : '-my-1.5 py-1.5'} ${hasTitle ? '' : 'pointer-events-none'}`}
          >
            {select}
            {cells.slice(0, pinned)}
          </Pinned>
          {cells.slice(pinned)}
          {/* It takes no room of its own: the buttons lie over the end of the row, also where the list scrolls sideways. */}
          <div role="cell" className="sticky right-3 z-10 flex w-0 justify-end justify-self-end">
            {selected !== undefined && !gone && <RowActions {...props} />}
          </div>
        </>
      )}
    </div>
  )
})

function SelectCell({ task, gone, selected, onSelect }: Props) {
  return (
    <div role="cell" className="pointer-events-auto relative z-10 -m-2 self-stretch group-data-dense:my-0">
      <label
        className="flex h-full w-9 cursor-pointer items-center justify-center"
        // With Shift a browser would also select the text between.
        onMouseDown={(event) => event.shiftKey && event.preventDefault()}
      >
        <input
          type="checkbox"
          className="size-3.5 cursor-pointer accent-solid"
          aria-label={`Select ${visibleLine(taskTitle(task), 60)}`}
          checked={selected ?? false}
          disabled={gone}
          // A click event has the Shift key, a change event doesn't.
          onClick={(event) => onSelect(task._id, event.shiftKey)}
          onChange={() => {}}
        />
      </label>
    </div>
  )
}

/** What can be done with the task now; shown while the pointer or the focus is on its row. */
function RowActions({ task, onCommand }: Props) {
  const title = visibleLine(taskTitle(task), 60)
  const possible = ROW_COMMANDS.filter(({ command }) => isPossible(command, task))
  return (
    <div className="flex rounded-md border border-line bg-panel opacity-0 shadow-sm group-focus-within:opacity-100 group-hover:opacity-100 empty:hidden group-data-dense:-my-0.5 group-data-dense:rounded-sm group-data-dense:border-y-0">
      {possible.map(({ command, key }) => {
        const { icon, label } = COMMAND_WORDS[command]
        return (
          <IconButton
            key={command}
            icon={icon}
            label={`${label} ${title}`}
            title={`${label} (${key})`}
            danger={command === 'cancel'}
            className="size-7 group-data-dense:h-6"
            onClick={() => onCommand(command, task)}
          />
        )
      })}
    </div>
  )
}

interface Shown {
  task: TaskRow
  live: LiveTask
  host: string | undefined
  open: (id: string) => void
}

function Card({ selectable, ...shown }: Shown & { selectable: boolean }) {
  return (
    <>
      <div role="cell" className="order-2 flex min-w-0 flex-col items-end">
        <Cell {...shown} id="status" />
      </div>
      <div role="cell" className="order-1 min-w-0">
        <Title {...shown} withHost />
      </div>
      <div role="cell" className={`order-3 min-w-0 ${selectable ? 'col-span-2 col-start-2' : 'col-span-full'}`}>
        <Cell {...shown} id="progress" />
      </div>
    </>
  )
}

function Cell({ id, ...shown }: Shown & { id: string }): ReactNode {
  const { task, live, host } = shown
  const { now } = live
  switch (id) {
    case 'status':
      return (
        <div className="group-data-dense:flex group-data-dense:items-center">
          <StatusBadge task={task} />
          <span className={UNDER}>
            <SourceMark source={live.source} />
            {task.status !== 'running' && <Labels task={task} now={now} />}
            <DeadlineLabel task={task} now={now} />
          </span>
        </div>
      )
    case 'title':
      return <Title {...shown} />
    case 'handler':
      return <Words text={`${task.name}@${task.version}`} />
    case 'queue':
      return <Words text={task.queue} />
    case 'host':
      return <Words text={host} />
    case 'progress':
      return <ProgressCell task={task} live={live} />
    case 'error':
      return <Words text={task.error?.code} className="font-mono text-xs text-bad" />
    case 'attempt':
      return (
        <span className="whitespace-nowrap">
          {attemptsText(task)}
          {task.lost > 0 && <span className={`text-warn ${UNDER}`}>{task.lost} lost</span>}
        </span>
      )
    case 'priority':
      return <PriorityMark priority={task.priority} />
    case 'wait':
      return <Lasted ms={waitOf(task, now)} />
    case 'run':
      return <Lasted ms={runOf(task, now)} />
    case 'created':
      return <Time at={task.createdAt} now={now} />
    case 'started':
      return <When at={task.startedAt} now={now} />
    case 'ended':
      return <When at={task.finishedAt} now={now} />
    case 'due':
      return <Time at={task.runAt} now={now} />
    case 'age':
      return <Age task={task} now={now} />
    default:
      return <Words text={valueAt(task, id)} />
  }
}

/** The second line of a cell. Where rows have one line it goes on in that, and is cut off where there is no room. */
const UNDER = 'block text-[11.5px] leading-tight group-data-dense:ml-1.5 group-data-dense:inline'
const NOTHING = <span className="text-dim">–</span>

function Words({ text, className = '' }: { text: string | undefined; className?: string }) {
  if (text === undefined) return NOTHING
  return (
    <span className={`block truncate ${className}`} title={visibleLine(text, 600)}>
      <Foreign text={text} max={120} />
    </span>
  )
}

const Lasted = ({ ms }: { ms: number | undefined }) => (ms === undefined ? NOTHING : formatDuration(ms))

const When = ({ at, now }: { at: string | undefined; now: number }) =>
  at === undefined ? NOTHING : <Time at={at} now={now} />

function Age({ task, now }: { task: TaskRow; now: number }) {
  const lasted = runOf(task, now)
  return (
    <>
      {task.finishedAt === undefined ? (
        <span title={`Created ${formatTime(task.createdAt)}`}>{formatAge(now - Date.parse(task.createdAt))} ago</span>
      ) : (
        <span title={`Ended ${formatTime(task.finishedAt)}, created ${formatTime(task.createdAt)}`}>
          ended {formatAge(now - Date.parse(task.finishedAt))} ago
        </span>
      )}
      {lasted !== undefined && <span className={`text-dim ${UNDER}`}>{formatDuration(lasted)}</span>}
    </>
  )
}

/** A click on it, or anywhere in the row, opens the task beside the list; with Ctrl or the middle button, its page in another tab. */
function Title({ task, host, open, withHost = false }: Shown & { withHost?: boolean }) {
  const onClick = (event: MouseEvent) => {
    if (event.button !== 0 || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return
    event.preventDefault()
    open(task._id)
  }
  return (
    <div className="group-data-dense:flex group-data-dense:items-baseline group-data-dense:gap-2">
      <Link
        to="/tasks/$id"
        params={{ id: task._id }}
        data-nav
        onClick={onClick}
        className="block truncate font-medium after:absolute after:inset-0 group-data-pinned:after:-right-[20000px] focus-visible:outline-none focus-visible:after:outline-2 focus-visible:after:-outline-offset-2 focus-visible:after:outline-run"
      >
        <Foreign text={taskTitle(task)} max={160} />
      </Link>
      <span className="block truncate text-[11.5px] text-dim group-data-dense:min-w-12 group-data-dense:flex-1">
        <Foreign text={`${task.name}@${task.version}`} max={60} /> · <Foreign text={task.queue} max={40} />
        {withHost && host !== undefined && (
          <>
            {' · '}
            <Foreign text={host} max={40} />
          </>
        )}
      </span>
    </div>
  )
}

/** The current or last attempt, and how many failures are allowed. */
export function attemptsText(task: Pick<TaskRow, 'attempt' | 'maxAttempts'>): string {
  return task.attempt === 0 ? '–' : `${task.attempt} / ${task.maxAttempts}`
}

function Labels({ task, now }: { task: TaskRow; now: number }) {
  // The deadline's own label shows that it is overdue.
  const labels = taskLabels(task, now).filter((label) => label !== 'overdue')
  if (labels.length === 0) return null
  return <span className="mr-1.5 text-dim">{labels.join(', ')}</span>
}

function ProgressCell({ task, live }: { task: TaskRow; live: LiveTask }) {
  const { progress, ratio, rate, secondsLeft, source, now } = live
  if (task.status === 'running') {
    return (
      <div className="group-data-dense:flex group-data-dense:items-center group-data-dense:gap-2">
        <div className="group-data-dense:w-14 group-data-dense:shrink-0">
          <ProgressBar
            ratio={ratio}
            label={`Progress of ${taskTitle(task).slice(0, 80)}`}
            tone={source.kind === 'silent' ? 'text-bad' : 'text-run'}
          />
        </div>
        <div className="mt-1 flex min-w-0 flex-1 items-center gap-2 text-[11.5px] leading-tight whitespace-nowrap text-dim group-data-dense:mt-0">
          {ratio !== undefined && <span className="w-[42px] text-text">{formatPercent(ratio)}</span>}
          <Amount progress={progress} className="truncate" />
          <span className="ml-auto text-text">{rateText(rate, progress)}</span>
          <span className="w-[84px] truncate text-right group-data-dense:hidden max-sm:hidden">
            {leftText(secondsLeft)}
          </span>
        </div>
      </div>
    )
  }
  if (task.status === 'failed' && task.error !== undefined) {
    return (
      <p className="truncate text-bad">
        <Foreign text={task.error.message} max={160} />
      </p>
    )
  }
  if (!hasEnded(task.status)) {
    const wait = waitText(task, now)
    return (
      <p className="truncate text-dim">{wait === '' ? `waits ${formatAge(now - Date.parse(task.runAt))}` : wait}</p>
    )
  }
  return (
    <p data-testid="task-bytes" className="truncate text-dim">
      {endedText(task)}
    </p>
  )
}
