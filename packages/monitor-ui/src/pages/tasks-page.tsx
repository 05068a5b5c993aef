import { getRouteApi } from '@tanstack/react-router'
import { useVirtualizer } from '@tanstack/react-virtual'
import { type CommandName, STATUSES, type TaskRow } from '@taskfleet/protocol'
import { useHeldRows, useLiveQuery, useStats } from '@taskfleet/react'
import { AlarmClock, Search, X } from 'lucide-react'
import { type KeyboardEvent, useCallback, useDeferredValue, useEffect, useMemo, useRef, useState } from 'react'
import { BulkBar } from '../components/bulk-bar.tsx'
import type { BulkTarget } from '../components/bulk-dialog.tsx'
import { LinkButton } from '../components/button.tsx'
import { CancelDialog } from '../components/cancel-dialog.tsx'
import { Chip } from '../components/chip.tsx'
import { ExportMenu } from '../components/export-menu.tsx'
import { EmptyNote, RowsProblem } from '../components/notes.tsx'
import { RowsPill } from '../components/rows-pill.tsx'
import { SettledInput } from '../components/settled-input.tsx'
import { lineGrid, TaskLine } from '../components/task-line.tsx'
import { useCan, useKept, useMinute, useTaskNames, useWorkers } from '../live/hooks.ts'
import { WORKERS } from '../live/queries.ts'
import { BulkDialog } from '../shell/dialogs.tsx'
import { useMedia } from '../shell/use-media.ts'
import { useRange } from '../shell/use-range.ts'
import { useTitle } from '../shell/use-title.ts'
import { type Counts, countOf, formatCount, formatCountShort } from '../view/counts.ts'
import { rangeOf } from '../view/range.ts'
import { changedSearch } from '../view/search.ts'
import { choose, chooseAll, NOTHING_CHOSEN, type Selection } from '../view/selection.ts'
import { STATUS_LOOK } from '../view/status.ts'
import { countsPlan } from '../view/status-counts.ts'
import {
  FIRST_LIMIT,
  MOST_ROWS,
  SORTS,
  type SortName,
  sortOf,
  type TaskSearch,
  taskQuery,
  toggleStatus,
  usualSort,
  writeTaskSearch,
} from '../view/task-search.ts'
import { parseTokens, proposals } from '../view/task-tokens.ts'
import { visibleLine } from '../view/text.ts'

const route = getRouteApi('/tasks')
const AT_RISK = { icon: AlarmClock, label: 'At risk / missed deadline', tone: 'text-warn' }

export function TasksPage() {
  const search = route.useSearch()
  const navigate = route.useNavigate()
  const workers = useWorkers()
  const hosts = useLiveQuery(WORKERS)
  const minute = useMinute()
  const { chosen } = useRange()
  const range = useMemo(() => (chosen === undefined ? undefined : rangeOf(chosen, minute)), [chosen, minute])
  const query = useMemo(() => taskQuery(search, minute, range), [search, minute, range])
  // A larger limit and a later minute leave the list the same.
  const { limit: _, ...meaning } = writeTaskSearch(search)
  const queryId = JSON.stringify({ ...meaning, range: chosen })
  const view = useKept(queryId, useLiveQuery(query))
  const { rows, loaded, error } = view
  const plan = useMemo(() => (range === undefined ? countsPlan(search) : undefined), [search, range])
  const statistics = useStats(plan?.filter)
  const { stats } = statistics
  const setSearch = (next: TaskSearch) => void navigate({ search: next, replace: true })
  const limit = search.limit ?? FIRST_LIMIT
  const names = useTaskNames()
  const hostNames = useMemo(() => [...new Set([...workers.values()].map(({ name }) => name))].sort(), [workers])
  const known = useMemo(() => knownValues(rows, names, hostNames), [rows, names, hostNames])
  useTitle('Tasks')

  return (
    <div className="flex h-full min-h-0 flex-col gap-2 p-3 sm:p-4">
      <h1 className="sr-only">Tasks</h1>
      <Filters
        search={search}
        onChange={setSearch}
        counts={stats === undefined ? undefined : plan?.pick(stats)}
        hosts={hostNames}
        known={known}
        sort={sortOf(search, range)}
        usual={usualSort(search, range)}
      />
      <RowsProblem views={[view, hosts, statistics]} />
      {(error === undefined || rows.length > 0) && (
        <TaskList
          queryId={queryId}
          rows={rows}
          loaded={loaded}
          filter={query.filter ?? {}}
          filtered={chosen !== undefined || Object.keys(search).some((field) => field !== 'sort' && field !== 'limit')}
          more={
            rows.length >= limit && limit < MOST_ROWS
              ? () => setSearch({ ...search, limit: Math.min(MOST_ROWS, limit + 200) })
              : undefined
          }
          atMost={rows.length >= MOST_ROWS}
        />
      )}
    </div>
  )
}

/** The values of the rows and of the fleet, for proposals. */
function knownValues(rows: readonly TaskRow[], names: readonly string[], hosts: readonly string[]) {
  const known: Record<string, string[]> = { status: [...STATUSES], name: [...names], host: [...hosts] }
  const note = (key: string, value: string) => {
    known[key] ??= []
    if (!known[key].includes(value)) known[key].push(value)
  }
  for (const { queue, labels = {}, error } of rows) {
    note('queue', queue)
    if (error?.code !== undefined) note('error', error.code)
    for (const [label, value] of Object.entries(labels)) note(`label.${label}`, value)
  }
  return known
}

function Filters({
  search,
  onChange,
  counts,
  hosts,
  known,
  sort,
  usual,
}: {
  search: TaskSearch
  onChange: (search: TaskSearch) => void
  /** The number of tasks by status within the other filters. `undefined` where it is unknown. */
  counts: Counts | undefined
  hosts: string[]
  /** The values that proposals know, by key. */
  known: Readonly<Record<string, readonly string[]>>
  sort: SortName
  /** The order if none is chosen. */
  usual: SortName
}) {
  const { status = [] } = search
  const [typed, setTyped] = useState('')
  const [problem, setProblem] = useState<string>()
  const change = (changes: Parameters<typeof changedSearch<TaskSearch>>[1]) => onChange(changedSearch(search, changes))
  return (
    <div className="panel flex flex-col gap-2 p-2" role="search" aria-label="Filter tasks">
      <div className="flex flex-wrap items-center gap-2">
        <div className="relative flex min-w-[220px] flex-[2] items-center max-sm:basis-full">
          <Search size={14} className="pointer-events-none absolute left-2.5 text-dim" aria-hidden />
          <SettledInput
            id="task-filter"
            label="Search text"
            placeholder="Words of the title, an id, or status:failed label.customer:cus_1 ended:<1h"
            className="field w-full pl-8"
            list="search-proposals"
            value={search.q ?? ''}
            onTyped={setTyped}
            onSettled={(value) => {
              const { search: read, problem } = parseTokens(value)
              setProblem(problem)
              if (problem === undefined) change({ q: '', ...read })
            }}
          />
          <datalist id="search-proposals">
            {proposals(typed, known).map((text) => (
              <option key={text} value={text} />
            ))}
          </datalist>
        </div>
        <SettledInput
          label="Task name"
          placeholder="Task name"
          className="field min-w-[110px] flex-1 lg:max-w-[180px]"
          value={search.name ?? ''}
          onSettled={(value) => change({ name: value.trim() })}
        />
        <select
          aria-label="Host"
          className="field min-w-[110px] flex-1 lg:max-w-[180px]"
          value={search.host ?? ''}
          onChange={(event) => change({ host: event.target.value })}
        >
          <option value="">Any host</option>
          {[...new Set([...hosts, search.host ?? []].flat())].map((host) => (
            <option key={host} value={host}>
              {visibleLine(host, 60)}
            </option>
          ))}
        </select>
        <select
          aria-label="Sort"
          className="field min-w-[130px] flex-1 lg:max-w-[180px]"
          value={sort}
          onChange={({ target: { value } }) => change({ sort: value === usual ? '' : (value as SortName) })}
        >
          {(Object.keys(SORTS) as SortName[]).map((name) => (
            <option key={name} value={name}>
              {SORTS[name].label}
            </option>
          ))}
        </select>
      </div>
      {problem !== undefined && (
        <p role="alert" className="px-1 text-bad">
          {visibleLine(problem, 200)}
        </p>
      )}
      <div
        role="group"
        aria-label="Status"
        className="flex gap-1.5 max-sm:overflow-x-auto max-sm:pb-0.5 sm:flex-wrap [&>*]:shrink-0"
      >
        {STATUSES.map((one) => {
          const count = counts === undefined ? undefined : (counts[one] ?? 0)
          const look = STATUS_LOOK[one]
          return (
            <Chip
              key={one}
              look={look}
              on={status.includes(one)}
              aria-label={look.label}
              title={count === undefined ? undefined : `${formatCount(count)} ${look.label.toLowerCase()}`}
              onClick={() => onChange(toggleStatus(search, one))}
            >
              {count !== undefined && (
                <span data-testid="status-count" data-status={one} className={count === 0 ? 'opacity-60' : 'text-text'}>
                  {formatCountShort(count)}
                </span>
              )}
            </Chip>
          )
        })}
        <Chip
          look={AT_RISK}
          on={search.deadline !== undefined}
          title="Tasks that have missed their deadline, or were raised because it is near"
          onClick={() => change({ deadline: search.deadline === undefined ? 'risk' : undefined })}
        />
        {search.queue !== undefined && (
          <Chip
            look={{ icon: X, label: `Queue ${visibleLine(search.queue, 40)}`, tone: 'text-run' }}
            on
            aria-label={`Queue ${visibleLine(search.queue, 60)}: show every queue`}
            onClick={() => change({ queue: undefined })}
          />
        )}
        {Object.keys(search).length > 0 && (
          <LinkButton className="min-h-7 px-2.5 text-xs" onClick={() => onChange({})}>
            Clear
          </LinkButton>
        )}
      </div>
    </div>
  )
}

interface ListProps {
  queryId: string
  rows: readonly TaskRow[]
  loaded: boolean
  /** The filter of the query, for commands on all tasks that match. */
  filter: Record<string, unknown>
  filtered: boolean
  more: (() => void) | undefined
  atMost: boolean
}

const useRowHeight = (): number => (useMedia('(min-width: 1024px)') ? 50 : 84)

function TaskList({ queryId, rows, loaded, filter, filtered, more, atMost }: ListProps) {
  const workers = useWorkers()
  const mayControl = useCan('control')
  const mayWrite = useCan('write')
  const [selection, setSelection] = useState<Selection>(NOTHING_CHOSEN)
  const [bulk, setBulk] = useState<{ command: CommandName; target: BulkTarget }>()
  const scroller = useRef<HTMLDivElement>(null)
  const [pointed, setPointed] = useState(false)
  const [focused, setFocused] = useState(false)
  const [cancelling, setCancelling] = useState<TaskRow | null>(null)
  const { rows: shown, entered, moved, apply } = useHeldRows(queryId, rows, pointed || focused)
  const count = useDeferredValue(rows.length)
  // The list ends at its limit, so more tasks may match.
  const isCut = more !== undefined || atMost
  const height = useRowHeight()
  const virtual = useVirtualizer({
    count: shown.length,
    getScrollElement: () => scroller.current,
    estimateSize: () => height,
    getItemKey: (index) => shown[index]?.row._id ?? index,
    overscan: 6,
  })
  // On purpose: the layout has changed
  useEffect(() => virtual.measure(), [height])
  // On purpose: another query starts at its top, with nothing selected
  useEffect(() => {
    scroller.current?.scrollTo({ top: 0 })
    setSelection(NOTHING_CHOSEN)
  }, [queryId])
  // A row that has left the list may still be shown, but it cannot be selected.
  const here = shown.filter(({ gone }) => !gone).map(({ row }) => row)
  const chosen = selection.all ? here : here.filter(({ _id }) => selection.ids.has(_id))
  const drawn = useRef<string[]>([])
  drawn.current = here.map(({ _id }) => _id)
  const onSelect = useCallback(
    (id: string, range: boolean) => setSelection((before) => choose(before, drawn.current, id, range)),
    [],
  )
  const onKeyDown = (event: KeyboardEvent<HTMLElement>) => {
    if (!mayControl || event.ctrlKey || event.metaKey || event.altKey) return
    if (event.key === 'Escape' && chosen.length > 0) {
      event.preventDefault()
      setSelection(NOTHING_CHOSEN)
    }
    if (event.key !== 'x' && event.key !== 'X') return
    const id =
      event.target instanceof Element ? event.target.closest<HTMLElement>('[data-task]')?.dataset.task : undefined
    if (id === undefined) return
    event.preventDefault()
    onSelect(id, event.shiftKey)
  }
  const range = virtual.range ?? { startIndex: 0, endIndex: -1 }

  return (
    <div className="panel relative flex min-h-0 flex-1 flex-col overflow-hidden">
      <div
        role="table"
        aria-label="Tasks"
        aria-rowcount={shown.length + 1}
        aria-busy={!loaded}
        className="flex min-h-0 flex-1 flex-col"
      >
        <div role="rowgroup" className="border-b border-line max-lg:hidden">
          <div role="row" aria-rowindex={1} className={`heading items-center py-2 ${lineGrid(mayControl)}`}>
            {mayControl && (
              <span role="columnheader" tabIndex={-1} className="flex">
                <input
                  type="checkbox"
                  className="size-3.5 cursor-pointer accent-solid"
                  aria-label="Select all rows"
                  checked={here.length > 0 && chosen.length === here.length}
                  ref={(box) => {
                    if (box !== null) box.indeterminate = chosen.length > 0 && chosen.length < here.length
                  }}
                  disabled={here.length === 0}
                  onChange={() => setSelection((before) => chooseAll(before, drawn.current))}
                />
              </span>
            )}
            {['Status', 'Task', 'Host', 'Progress', 'Attempt', 'Prio'].map((title) => (
              <span key={title} role="columnheader" tabIndex={-1}>
                {title}
              </span>
            ))}
            <span role="columnheader" tabIndex={-1} className="text-right">
              Age
            </span>
            <span role="columnheader" tabIndex={-1}>
              <span className="sr-only">Actions</span>
            </span>
          </div>
        </div>
        {/* biome-ignore lint/a11y/noStaticElementInteractions: it only notices when the user points at the rows */}
        <div
          ref={scroller}
          className="min-h-0 flex-1 overflow-auto overscroll-contain"
          onPointerEnter={(event) => event.pointerType !== 'touch' && setPointed(true)}
          onPointerLeave={() => setPointed(false)}
          onFocus={() => setFocused(true)}
          onBlur={() => setFocused(false)}
          onKeyDown={onKeyDown}
        >
          {loaded && shown.length === 0 ? (
            <EmptyNote title={filtered ? 'No task matches' : 'There are no tasks yet'}>
              {mayWrite && !filtered ? 'Press n to start one.' : 'New tasks appear here at once.'}
            </EmptyNote>
          ) : !loaded ? (
            <EmptyNote title="Loading…" />
          ) : (
            <div role="rowgroup" className="relative" style={{ height: virtual.getTotalSize() }}>
              {virtual.getVirtualItems().map((item) => {
                const held = shown[item.index]
                if (held === undefined) return null
                return (
                  <div
                    key={item.key}
                    role="presentation"
                    className="absolute inset-x-0 top-0"
                    style={{ height: item.size, transform: `translateY(${item.start}px)` }}
                  >
                    <TaskLine
                      task={held.row}
                      gone={held.gone}
                      worker={held.row.worker === undefined ? undefined : workers.get(held.row.worker)}
                      visible={item.index >= range.startIndex && item.index <= range.endIndex}
                      place={item.index + 1}
                      onCancel={setCancelling}
                      selected={
                        mayControl ? !held.gone && (selection.all || selection.ids.has(held.row._id)) : undefined
                      }
                      onSelect={onSelect}
                    />
                  </div>
                )
              })}
            </div>
          )}
        </div>
      </div>
      <RowsPill
        entered={entered}
        moved={moved}
        className="top-2 lg:top-10"
        onApply={() => {
          apply()
          if (entered > 0) scroller.current?.scrollTo({ top: 0 })
        }}
      />
      <div className="flex min-h-12 flex-wrap items-center gap-x-4 gap-y-1 border-t border-line px-3 py-1 text-xs text-dim">
        {chosen.length > 0 ? (
          <BulkBar
            chosen={chosen}
            all={selection.all}
            more={isCut}
            filter={filter}
            onAll={() => setSelection({ all: true, ids: new Set(), anchor: undefined })}
            onNone={() => setSelection(NOTHING_CHOSEN)}
            onCommand={(command, target) => setBulk({ command, target })}
          />
        ) : (
          <>
            <p role="status">{loaded && countOf(count, 'task', isCut)}</p>
            {more !== undefined && (
              <LinkButton className="px-1.5 py-1" onClick={more}>
                Load more
              </LinkButton>
            )}
            <ExportMenu rows={here} />
            {atMost && <p>Only the first {formatCount(MOST_ROWS)} are shown. Filter to see others.</p>}
          </>
        )}
      </div>
      {bulk !== undefined && (
        <BulkDialog {...bulk} onClose={() => setBulk(undefined)} onDone={() => setSelection(NOTHING_CHOSEN)} />
      )}
      {cancelling !== null && <CancelDialog task={cancelling} onClose={() => setCancelling(null)} />}
    </div>
  )
}
