import { Link } from '@tanstack/react-router'
import type { CommandAnswer, ErrorRow, TaskRow } from '@taskfleet/protocol'
import { useFleetClient, useHeldRows, useLiveQuery, useServerTime, useStats } from '@taskfleet/react'
import { CopyPlus, RotateCcw } from 'lucide-react'
import { useMemo, useState } from 'react'
import { useCan, useKept } from '../live/hooks.ts'
import { ERROR_TASKS_LIMIT, endedTasks, failedWith } from '../live/queries.ts'
import { BulkDialog } from '../shell/dialogs.tsx'
import type { ToastText } from '../shell/ui-store.ts'
import { useRange } from '../shell/use-range.ts'
import { COMMAND_WORDS, resultToast } from '../view/commands.ts'
import { countOf, formatCount } from '../view/counts.ts'
import { RANGES, type RangeName } from '../view/range.ts'
import { choose, chooseAll, NOTHING_CHOSEN } from '../view/selection.ts'
import { taskTitle } from '../view/task-title.ts'
import { visibleLine } from '../view/text.ts'
import type { BulkTarget } from './bulk-dialog.tsx'
import { Button, LinkButton } from './button.tsx'
import { Foreign } from './foreign.tsx'
import { Listing } from './listing.tsx'
import { RowsPill } from './rows-pill.tsx'
import { Time } from './time.tsx'
import { useAct } from './use-act.ts'
import { FEW } from './use-commands.ts'

type Command = 'replay' | 'retry'

const STEP_MS = 60_000
const ICONS = { replay: CopyPlus, retry: RotateCcw }

/** The tasks that ended with an error in the time range. They can be selected, replayed and retried. */
export function ErrorTasks({ error }: { error: ErrorRow }) {
  const now = useServerTime()
  const mayControl = useCan('control')
  const range = useRange()
  // A range that ends now starts at a full minute, so the query stays the same for a minute.
  const from = new Date(range.from - (range.from % STEP_MS)).toISOString()
  const to = range.name === undefined ? new Date(range.to).toISOString() : undefined
  const filter = useMemo(() => failedWith(error._id, from, to), [error._id, from, to])
  const meaning = `${error._id} ${range.name ?? `${from} ${to}`}`
  const view = useKept(meaning, useLiveQuery(endedTasks(filter)))
  const statistics = useKept(`count ${meaning}`, useStats(filter))
  const [selection, setSelection] = useState(NOTHING_CHOSEN)
  const [pointed, setPointed] = useState(false)
  const { rows, entered, moved, apply } = useHeldRows(meaning, view.rows, pointed || selection.ids.size > 0)
  const present = rows.filter(({ gone }) => !gone).map(({ row }) => row)
  const ids = present.map(({ _id }) => _id)
  const chosen = selection.all ? present : present.filter(({ _id }) => selection.ids.has(_id))
  const isCut = view.rows.length >= ERROR_TASKS_LIMIT
  const total = Math.max(statistics.stats?.byStatus.failed ?? 0, present.length)
  const none = () => {
    setSelection(NOTHING_CHOSEN)
    apply()
  }
  const every = ids.length > 0 && chosen.length === ids.length
  return (
    <section
      aria-label="Tasks"
      className="relative flex flex-col gap-2"
      onPointerEnter={(event) => event.pointerType !== 'touch' && setPointed(true)}
      onPointerLeave={() => setPointed(false)}
    >
      <div className="flex min-h-8 flex-wrap items-center gap-x-4 gap-y-2">
        <h2 className="font-semibold">Tasks</h2>
        <p role="status" className="text-dim">
          {view.loaded && `${countOf(total, 'failed task')} ${within(range.name)}`}
        </p>
      </div>
      <Listing
        views={[view]}
        loaded={view.loaded}
        count={rows.length}
        empty={{ title: `No task failed with this error ${within(range.name)}` }}
      >
        {mayControl && (
          <div className="panel sticky top-0 z-10 flex flex-wrap items-center gap-x-3 gap-y-1 px-3 py-2">
            <label className="flex min-h-8 cursor-pointer items-center gap-2 font-medium">
              <input
                type="checkbox"
                className="size-3.5 cursor-pointer accent-solid"
                checked={every}
                onChange={() => (every ? none() : setSelection(chooseAll(NOTHING_CHOSEN, ids)))}
              />
              Select all {formatCount(ids.length)}
            </label>
            {isCut && every && total > ids.length && (
              <LinkButton className="p-1" onClick={() => setSelection({ ...NOTHING_CHOSEN, all: !selection.all })}>
                {selection.all ? `Only the ${formatCount(ids.length)} shown` : `Select all ${formatCount(total)}`}
              </LinkButton>
            )}
            <Commands
              target={
                selection.all && isCut
                  ? { kind: 'filter', filter, what: `that failed with this error ${within(range.name)}` }
                  : { kind: 'rows', tasks: chosen }
              }
              count={selection.all ? total : chosen.length}
              onDone={none}
            />
          </div>
        )}
        <div className="relative">
          <RowsPill entered={entered} moved={moved} onApply={apply} className="top-2" />
          <ul aria-label="Tasks" className="panel dims">
            {rows.map(({ row, gone }) => (
              <TaskItem
                key={row._id}
                task={row}
                gone={gone}
                now={now}
                message={error.message}
                selected={mayControl ? selection.all || selection.ids.has(row._id) : undefined}
                onSelect={(ranged) => setSelection(choose(selection, ids, row._id, ranged))}
              />
            ))}
          </ul>
        </div>
        {isCut && (
          <p className="px-1 text-xs text-dim">Only the {ERROR_TASKS_LIMIT} tasks that failed last are listed.</p>
        )}
      </Listing>
      {view.loaded && rows.length === 0 && <Wider shown={range.name} onChange={range.change} />}
    </section>
  )
}

const within = (name: RangeName | undefined): string =>
  name === undefined ? 'in the chosen time' : `in the ${RANGES[name].label.toLowerCase()}`

/** Offers longer ranges where a short one has nothing. */
function Wider({ shown, onChange }: { shown: RangeName | undefined; onChange: (range: RangeName) => void }) {
  const wider = (['24h', '7d'] as const).filter((name) => shown === undefined || RANGES[name].ms > RANGES[shown].ms)
  return (
    <div className="flex flex-wrap justify-center gap-2">
      {wider.map((name) => (
        <Button key={name} onClick={() => onChange(name)}>
          Show the {RANGES[name].label.toLowerCase()}
        </Button>
      ))}
    </div>
  )
}

interface CommandsProps {
  target: BulkTarget
  count: number
  onDone: () => void
}

/** Replays or retries exactly the selected tasks. */
function Commands({ target, count, onDone }: CommandsProps) {
  const client = useFleetClient()
  const { busy, actAside } = useAct()
  const [asking, setAsking] = useState<Command>()
  const run = (command: Command) => {
    if (target.kind === 'filter' || count > FEW) return setAsking(command)
    actAside(async () => {
      const answer = await client.tasks[command]({ ids: target.tasks.map(({ _id }) => _id) })
      onDone()
      return resultOf(command, answer)
    })
  }
  const these = count === 1 ? 'exactly this 1' : `exactly these ${formatCount(count)}`
  return (
    <div role="group" aria-label="For the selected tasks" className="flex flex-wrap gap-2 sm:ml-auto">
      {(['retry', 'replay'] as const).map((command) => (
        <Button
          key={command}
          icon={ICONS[command]}
          {...(command === 'replay' && { look: 'solid' as const })}
          title={COMMAND_WORDS[command].means}
          disabled={busy || count === 0}
          onClick={() => run(command)}
        >
          {COMMAND_WORDS[command].label}
          {count > 0 && ` ${these}`}
          {count > FEW && '…'}
        </Button>
      ))}
      {asking !== undefined && (
        <BulkDialog command={asking} target={target} onClose={() => setAsking(undefined)} onDone={onDone} />
      )}
    </div>
  )
}

/** One new task is linked to. */
function resultOf(command: Command, answer: CommandAnswer): ToastText {
  const toast = resultToast(command, answer)
  const [only, ...more] = command === 'replay' && toast.kind === 'good' ? (answer.tasks ?? []) : []
  return { ...toast, ...(only !== undefined && more.length === 0 && { task: only }) }
}

interface ItemProps {
  task: TaskRow
  gone: boolean
  now: number
  /** The message of the group. A task whose own differs shows it. */
  message: string
  /** Undefined if rows can't be selected. */
  selected: boolean | undefined
  onSelect: (range: boolean) => void
}

function TaskItem({ task, gone, now, message, selected, onSelect }: ItemProps) {
  const title = taskTitle(task)
  return (
    <li
      data-testid="error-task"
      data-task={task._id}
      className={`flex items-start gap-x-3 border-b border-line px-3 py-1.5 last:border-b-0 ${gone ? 'opacity-40' : ''} ${selected === true ? 'bg-run/10' : ''}`}
    >
      {selected !== undefined && (
        <label className="-m-2 cursor-pointer p-2.5">
          <input
            type="checkbox"
            className="size-3.5 cursor-pointer accent-solid"
            aria-label={`Select ${visibleLine(title, 60)}`}
            checked={selected}
            disabled={gone}
            // A click event has the Shift key, a change event doesn't.
            onClick={(event) => onSelect(event.shiftKey)}
            onChange={() => {}}
          />
        </label>
      )}
      <div className="flex min-w-0 flex-1 flex-wrap items-baseline gap-x-3 gap-y-0.5">
        <span className="min-w-0 flex-1 basis-56">
          <Link to="/tasks/$id" params={{ id: task._id }} className="font-medium hover:underline">
            <Foreign text={title} max={120} />
          </Link>
          {task.error !== undefined && task.error.message !== message && (
            <span className="block text-xs text-dim">
              <Foreign text={task.error.message} max={200} />
            </span>
          )}
        </span>
        <span className="text-xs text-dim">
          <Foreign text={`${task.name}@${task.version}`} max={60} /> · <Foreign text={task.queue} max={40} />
          {task.host !== undefined && (
            <>
              {' · '}
              <Foreign text={task.host} max={40} />
            </>
          )}
        </span>
        <span className="text-xs text-dim">{countOf(task.failures, 'failed attempt')}</span>
        {task.finishedAt !== undefined && (
          <Time at={task.finishedAt} now={now} className="text-xs whitespace-nowrap text-dim sm:w-20 sm:text-right" />
        )}
      </div>
    </li>
  )
}
