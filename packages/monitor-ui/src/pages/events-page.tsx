import { getRouteApi } from '@tanstack/react-router'
import type { CallbackRow, EventRow } from '@taskfleet/protocol'
import { type LiveQueryView, useFleetClient, useLiveQuery, useServerTime } from '@taskfleet/react'
import { Plus, Send } from 'lucide-react'
import { useMemo, useState } from 'react'
import { Button, LinkButton } from '../components/button.tsx'
import { CallbackList } from '../components/callback-list.tsx'
import { Chip } from '../components/chip.tsx'
import { ConfirmDialog } from '../components/confirm-dialog.tsx'
import { EventCard, type EventCommand } from '../components/event-card.tsx'
import { Foreign } from '../components/foreign.tsx'
import { HeldList, Listing } from '../components/listing.tsx'
import { SettledInput } from '../components/settled-input.tsx'
import { useCan, useKept, useTaskNames } from '../live/hooks.ts'
import { type Asked, useAsked } from '../live/use-asked.ts'
import { CallbackDialog, SendEventDialog } from '../shell/dialogs.tsx'
import { countOf, formatCount } from '../view/counts.ts'
import { EVENT_LOOK, EVENT_STATUSES } from '../view/event-status.ts'
import { changedSearch, type EventSearch, eventsQuery } from '../view/search.ts'

const route = getRouteApi('/events')
const PAGE = 50
const MOST = 500
const CALLBACKS_MS = 10_000

type Opened =
  | { dialog: 'send' }
  | { dialog: 'register' }
  | { dialog: 'edit' | 'unregister'; callback: CallbackRow }
  | { dialog: EventCommand; event: EventRow }

/** The live events, and their callbacks. */
export function EventsPage() {
  const client = useFleetClient()
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
  const tasks = useTaskNames()
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

interface EventsProps {
  search: EventSearch
  view: LiveQueryView<'events'>
  limit: number
  /** The number of callbacks, if known. */
  known: number | undefined
  onMore: () => void
  onOpen: (opened: Opened) => void
}

/** The events, newest first. */
function EventSection({ search, view, limit, known, onMore, onOpen }: EventsProps) {
  const navigate = route.useNavigate()
  const now = useServerTime()
  const mayWrite = useCan('write')
  const mayControl = useCan('control')
  const { rows, loaded } = view
  const full = rows.length >= limit
  const change = (next: EventSearch) => void navigate({ search: next, replace: true })
  return (
    <section aria-labelledby="events-title" className="flex min-w-0 flex-col gap-3">
      <div className="flex min-h-8 flex-wrap items-center gap-x-4 gap-y-2">
        <h1 id="events-title" className="text-base font-semibold">
          Events
        </h1>
        <p role="status" aria-label="Count" className="text-xs text-dim">
          {loaded && countOf(rows.length, 'event', full)}
        </p>
        <a href="#callbacks" className="text-xs text-run hover:underline lg:hidden">
          Callbacks{known !== undefined && ` (${formatCount(known)})`}
        </a>
        {mayWrite && (
          <Button icon={Send} look="solid" className="ml-auto" onClick={() => onOpen({ dialog: 'send' })}>
            <span>
              Send<span className="max-sm:sr-only"> an event</span>
            </span>
          </Button>
        )}
      </div>
      <Filters search={search} onChange={change} />
      <HeldList
        role="group"
        label="Events"
        query={JSON.stringify(search)}
        view={view}
        empty={Object.keys(search).length > 0 ? NO_MATCH : NO_EVENT}
      >
        {(event, gone, key) => (
          <EventCard
            key={key}
            event={event}
            gone={gone}
            now={now}
            onCommand={mayControl ? (dialog) => onOpen({ dialog, event }) : undefined}
          />
        )}
      </HeldList>
      {full && limit < MOST && (
        <LinkButton className="self-start px-1 text-xs" onClick={onMore}>
          Load more
        </LinkButton>
      )}
      {full && limit >= MOST && <p className="px-1 text-xs text-dim">Only the latest {formatCount(MOST)} are shown.</p>}
    </section>
  )
}

const NO_MATCH = { title: 'No event matches this filter' }
const NO_EVENT = {
  title: 'There are no events yet',
  hint: 'Register a callback for an event, then send the event: each of its callbacks creates a task.',
}
const NO_CALLBACK = {
  title: 'No callback is registered',
  hint: 'An event without a callback is stored and finished, and nothing runs.',
}

function Filters({ search, onChange }: { search: EventSearch; onChange: (search: EventSearch) => void }) {
  return (
    <div className="flex flex-wrap items-center gap-2">
      <SettledInput
        id="event-filter"
        label="Name of the event"
        placeholder="Name"
        className="field min-w-[140px] flex-1 sm:max-w-[220px]"
        value={search.name ?? ''}
        onSettled={(typed) => onChange(changedSearch(search, { name: typed.trim() }))}
      />
      <div role="group" aria-label="Status" className="flex gap-1.5 overflow-x-auto max-sm:w-full max-sm:pb-0.5">
        {EVENT_STATUSES.map((one) => {
          const on = one === search.status
          return (
            <Chip
              key={one}
              look={EVENT_LOOK[one]}
              on={on}
              onClick={() => onChange(changedSearch(search, { status: on ? undefined : one }))}
            />
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

function CallbackSection({ asked: { answer = [], at, error, tryAgain }, onOpen }: CallbacksProps) {
  const mayControl = useCan('control')
  return (
    <section id="callbacks" aria-labelledby="callbacks-title" className="flex min-w-0 flex-col gap-3">
      <div className="flex min-h-8 flex-wrap items-center gap-x-4 gap-y-2">
        <h2 id="callbacks-title" className="text-base font-semibold">
          Callbacks
        </h2>
        {mayControl && (
          <Button icon={Plus} className="ml-auto" onClick={() => onOpen({ dialog: 'register' })}>
            Register a callback
          </Button>
        )}
      </div>
      <Listing views={[{ error, tryAgain }]} loaded={at !== undefined} count={answer.length} empty={NO_CALLBACK}>
        <CallbackList
          callbacks={answer}
          onEdit={mayControl ? (callback) => onOpen({ dialog: 'edit', callback }) : undefined}
          onRemove={mayControl ? (callback) => onOpen({ dialog: 'unregister', callback }) : undefined}
        />
      </Listing>
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
  const forms = { events: names, tasks, onChanged: callbacks.tryAgain, onClose }
  switch (opened?.dialog) {
    case undefined:
      return null
    case 'send':
      return <SendEventDialog names={names} callbacks={callbacks.answer} onClose={onClose} />
    case 'register':
      return <CallbackDialog {...forms} />
    case 'edit':
      return <CallbackDialog {...forms} callback={opened.callback} />
    case 'unregister': {
      const { _id, event, task } = opened.callback
      const remove = async () => {
        await client.callbacks.remove({ id: _id })
        callbacks.tryAgain()
        return `${event} no longer calls ${task}`
      }
      return (
        <ConfirmDialog title="Remove this callback?" confirm="Remove it" run={remove} onClose={onClose}>
          <Foreign text={event} className="font-medium" /> will no longer call{' '}
          <Foreign text={task} className="font-medium" />. Tasks that are already queued stay as they are.
        </ConfirmDialog>
      )
    }
    case 'cancel': {
      const { _id, name } = opened.event
      const cancel = async () => {
        const { refused } = await client.events.cancel({ id: _id })
        for (const { error } of refused) throw new Error(error.message)
        return `Requested to cancel ${name}`
      }
      return (
        <ConfirmDialog title="Cancel this event?" confirm="Cancel its tasks" run={cancel} onClose={onClose}>
          All tasks of <Foreign text={name} className="font-medium" /> that have not ended are cancelled. Running tasks
          are stopped.
        </ConfirmDialog>
      )
    }
    case 'remove': {
      const { _id, name } = opened.event
      const remove = async () => {
        await client.events.remove({ id: _id })
        return `Removed ${name} from the log`
      }
      return (
        <ConfirmDialog title="Remove this event?" confirm="Remove it" run={remove} onClose={onClose}>
          <Foreign text={name} className="font-medium" /> and its results are removed from the log. Its tasks stay.
        </ConfirmDialog>
      )
    }
  }
}

const distinct = (names: readonly string[]): string[] => [...new Set(names)].sort()
