import { getRouteApi } from '@tanstack/react-router'
import type { CallbackRow, EventRow } from '@taskfleet/protocol'
import { type LiveQueryView, useFleetClient, useHeldRows, useLiveQuery, useServerTime } from '@taskfleet/react'
import { Plus, Send } from 'lucide-react'
import { useMemo, useState } from 'react'
import { CallbackList } from '../components/callback-list.tsx'
import { ConfirmDialog } from '../components/confirm-dialog.tsx'
import { EventCard, type EventCommand } from '../components/event-card.tsx'
import { Foreign } from '../components/foreign.tsx'
import { EmptyNote, RowsProblem } from '../components/notes.tsx'
import { RowsPill } from '../components/rows-pill.tsx'
import { SettledInput } from '../components/settled-input.tsx'
import { usePointing } from '../components/use-pointing.ts'
import { useCan, useKept, useWorkers } from '../live/hooks.ts'
import { type Asked, useAsked } from '../live/use-asked.ts'
import { CallbackDialog, SendEventDialog } from '../shell/dialogs.tsx'
import { useUi } from '../shell/ui-context.ts'
import { formatCount } from '../view/counts.ts'
import { type EventSearch, eventsQuery } from '../view/event-search.ts'
import { EVENT_LOOK, EVENT_STATUSES } from '../view/event-status.ts'

const route = getRouteApi('/events')
const PAGE = 50
const MOST = 500
const CALLBACKS_MS = 10_000

type Opened =
  | { dialog: 'send' }
  | { dialog: 'register' }
  | { dialog: 'edit' | 'unregister'; callback: CallbackRow }
  | { dialog: EventCommand; event: EventRow }

/** What has happened and will happen, as it changes, and what each event calls. */
export function EventsPage() {
  const client = useFleetClient()
  const workers = useWorkers()
  const search = route.useSearch()
  const [limit, setLimit] = useState(PAGE)
  const meaning = JSON.stringify(search)
  const view = useKept(meaning, useLiveQuery(eventsQuery(search, limit)))
  const callbacks = useAsked(() => client.callbacks.list(), { key: 'callbacks', everyMs: CALLBACKS_MS })
  const [opened, setOpened] = useState<Opened>()

  const names = useMemo(
    () => distinct([...(callbacks.answer ?? []).map(({ event }) => event), ...view.rows.map(({ name }) => name)]),
    [callbacks.answer, view.rows],
  )
  const tasks = useMemo(
    () => distinct([...workers.values()].flatMap((worker) => worker.tasks.map((task) => task.replace(/@\d+$/, '')))),
    [workers],
  )
  return (
    <div className="mx-auto grid w-full max-w-[1400px] items-start gap-x-5 gap-y-6 p-3 sm:p-4 lg:grid-cols-[minmax(0,1fr)_minmax(320px,400px)]">
      <EventSection
        search={search}
        view={view}
        known={callbacks.answer?.length}
        limit={limit}
        onMore={() => setLimit(Math.min(MOST, limit + PAGE))}
        onOpen={setOpened}
      />
      <CallbackSection asked={callbacks} onOpen={setOpened} />
      <OpenedDialog
        opened={opened}
        names={names}
        tasks={tasks}
        callbacks={callbacks}
        onClose={() => setOpened(undefined)}
      />
    </div>
  )
}

const distinct = (names: readonly string[]): string[] => [...new Set(names)].sort()

interface EventsProps {
  search: EventSearch
  view: LiveQueryView<'events'>
  limit: number
  /** How many callbacks there are, where that is known. */
  known: number | undefined
  onMore: () => void
  onOpen: (opened: Opened) => void
}

/** The events, newest first, which keep their places while somebody points or types there. */
function EventSection({ search, view: { rows, loaded, error, tryAgain }, limit, known, onMore, onOpen }: EventsProps) {
  const navigate = route.useNavigate()
  const now = useServerTime()
  const mayWrite = useCan('write')
  const mayControl = useCan('control')
  const { busy, region } = usePointing()
  const { rows: shown, entered, moved, apply } = useHeldRows(JSON.stringify(search), rows, busy)
  const full = rows.length >= limit
  const change = (next: EventSearch) => void navigate({ search: next, replace: true })
  return (
    <section aria-labelledby="events-title" className="flex min-w-0 flex-col gap-3">
      <div className="flex min-h-8 flex-wrap items-center gap-x-4 gap-y-2">
        <h1 id="events-title" className="text-base font-semibold">
          Events
        </h1>
        <p role="status" aria-label="Count" className="text-xs text-dim">
          {loaded && `${formatCount(rows.length)}${full ? '+' : ''} ${rows.length === 1 ? 'event' : 'events'}`}
        </p>
        <a href="#callbacks" className="text-xs text-run hover:underline lg:hidden">
          Callbacks{known !== undefined && ` (${formatCount(known)})`}
        </a>
        {mayWrite && (
          <button type="button" className="button button-solid ml-auto" onClick={() => onOpen({ dialog: 'send' })}>
            <Send size={14} aria-hidden />
            <span>
              Send<span className="max-sm:sr-only"> an event</span>
            </span>
          </button>
        )}
      </div>
      <Filters search={search} onChange={change} />
      <RowsProblem views={[{ error, tryAgain }]} />
      <div role="group" aria-label="Newest first" className="relative" {...region}>
        <RowsPill entered={entered} moved={moved} onApply={apply} className="top-2" />
        {shown.length === 0 && error === undefined && <NoEvents loaded={loaded} search={search} />}
        {shown.length > 0 && (
          <ul aria-label="Events" className="flex flex-col gap-2">
            {shown.map(({ row, gone }) => (
              <EventCard
                key={row._id}
                event={row}
                gone={gone}
                now={now}
                onCommand={mayControl ? (dialog) => onOpen({ dialog, event: row }) : undefined}
              />
            ))}
          </ul>
        )}
      </div>
      {full && (
        <p className="px-1 text-xs text-dim">
          {limit < MOST ? (
            <button type="button" className="rounded font-medium text-run hover:underline" onClick={onMore}>
              Load more
            </button>
          ) : (
            `Only the latest ${formatCount(MOST)} are shown.`
          )}
        </p>
      )}
    </section>
  )
}

function NoEvents({ loaded, search }: { loaded: boolean; search: EventSearch }) {
  if (!loaded) return <EmptyNote title="Asking the gateway…" />
  if (search.status !== undefined || search.name !== undefined) return <EmptyNote title="No event fits this filter" />
  return (
    <EmptyNote title="Nothing has happened yet">
      Register what an event calls, then send one: each callback of its name makes a task.
    </EmptyNote>
  )
}

const CHIP =
  'inline-flex min-h-7 shrink-0 items-center gap-1.5 rounded-full border px-2.5 text-xs font-medium hover:bg-raised'

function Filters({ search, onChange }: { search: EventSearch; onChange: (search: EventSearch) => void }) {
  const { status, name, ...none } = search
  const named = name === undefined ? none : { name }
  return (
    <div className="flex flex-wrap items-center gap-2">
      <SettledInput
        id="event-filter"
        label="Name of the event"
        placeholder="Name"
        className="field min-w-[140px] flex-1 sm:max-w-[220px]"
        value={name ?? ''}
        onSettled={(typed) => {
          const wanted = typed.trim()
          const rest = status === undefined ? {} : { status }
          onChange(wanted === '' ? rest : { ...rest, name: wanted })
        }}
      />
      <div role="group" aria-label="Status" className="flex gap-1.5 overflow-x-auto max-sm:w-full max-sm:pb-0.5">
        {EVENT_STATUSES.map((one) => {
          const { icon: Icon, label, tone } = EVENT_LOOK[one]
          const on = one === status
          return (
            <button
              key={one}
              type="button"
              aria-pressed={on}
              className={`${CHIP} ${on ? `border-current bg-raised ${tone}` : 'border-line text-dim'}`}
              onClick={() => onChange(on ? named : { ...named, status: one })}
            >
              <Icon size={13} aria-hidden />
              {label}
            </button>
          )
        })}
      </div>
    </div>
  )
}

interface CallbacksProps {
  asked: Asked<CallbackRow[]>
  onOpen: (opened: Opened) => void
}

function CallbackSection({ asked: { answer, error, tryAgain }, onOpen }: CallbacksProps) {
  const mayControl = useCan('control')
  return (
    <section id="callbacks" aria-labelledby="callbacks-title" className="flex min-w-0 flex-col gap-3">
      <div className="flex min-h-8 flex-wrap items-center gap-x-4 gap-y-2">
        <h2 id="callbacks-title" className="text-base font-semibold">
          Callbacks
        </h2>
        {mayControl && (
          <button type="button" className="button ml-auto" onClick={() => onOpen({ dialog: 'register' })}>
            <Plus size={14} aria-hidden /> Register a callback
          </button>
        )}
      </div>
      <RowsProblem views={[{ error, tryAgain }]} />
      {answer === undefined && error === undefined && <EmptyNote title="Asking the gateway…" />}
      {answer?.length === 0 && (
        <EmptyNote title="No callback is registered">
          Without one an event is stored and finished, and nothing runs.
        </EmptyNote>
      )}
      {answer !== undefined && answer.length > 0 && (
        <CallbackList
          callbacks={answer}
          onEdit={mayControl ? (callback) => onOpen({ dialog: 'edit', callback }) : undefined}
          onRemove={mayControl ? (callback) => onOpen({ dialog: 'unregister', callback }) : undefined}
        />
      )}
    </section>
  )
}

interface OpenedProps {
  opened: Opened | undefined
  /** Known names of events and of tasks. */
  names: readonly string[]
  tasks: readonly string[]
  callbacks: Asked<CallbackRow[]>
  onClose: () => void
}

function OpenedDialog({ opened, names, tasks, callbacks, onClose }: OpenedProps) {
  const client = useFleetClient()
  const toast = useUi((ui) => ui.toast)
  const told = (text: string) => toast({ kind: 'good', text })
  switch (opened?.dialog) {
    case undefined:
      return null
    case 'send':
      return <SendEventDialog names={names} callbacks={callbacks.answer} onClose={onClose} />
    case 'register':
      return <CallbackDialog events={names} tasks={tasks} onChanged={callbacks.tryAgain} onClose={onClose} />
    case 'edit':
      return (
        <CallbackDialog
          callback={opened.callback}
          events={names}
          tasks={tasks}
          onChanged={callbacks.tryAgain}
          onClose={onClose}
        />
      )
    case 'unregister': {
      const { _id, event, task } = opened.callback
      const remove = async () => {
        await client.callbacks.remove({ id: _id })
        callbacks.tryAgain()
        told(`${event} no longer calls ${task}`)
      }
      return (
        <ConfirmDialog title="Remove this callback?" confirm="Remove it" run={remove} onClose={onClose}>
          <Foreign text={event} className="font-medium" /> will no longer call{' '}
          <Foreign text={task} className="font-medium" />. What is queued already stays as it is.
        </ConfirmDialog>
      )
    }
    case 'cancel': {
      const { _id, name } = opened.event
      const cancel = async () => {
        const { refused } = await client.events.cancel({ id: _id })
        const [first] = refused
        if (first !== undefined) throw new Error(first.error.message)
        told(`Asked to cancel ${name}`)
      }
      return (
        <ConfirmDialog title="Cancel this event?" confirm="Cancel its tasks" run={cancel} onClose={onClose}>
          Those tasks of <Foreign text={name} className="font-medium" /> that have not ended are stopped where they run
          and won’t start any more.
        </ConfirmDialog>
      )
    }
    case 'remove': {
      const { _id, name } = opened.event
      const remove = async () => {
        await client.events.remove({ id: _id })
        told(`Removed ${name} from the log`)
      }
      return (
        <ConfirmDialog title="Remove this event?" confirm="Remove it" run={remove} onClose={onClose}>
          <Foreign text={name} className="font-medium" /> and its results leave the log. Its tasks stay.
        </ConfirmDialog>
      )
    }
  }
}
