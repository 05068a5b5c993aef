import { useVirtualizer } from '@tanstack/react-virtual'
import type { CommandName, TaskRow } from '@taskfleet/protocol'
import { useHeldRows } from '@taskfleet/react'
import { ChevronDown, ChevronUp } from 'lucide-react'
import { type KeyboardEvent, useCallback, useDeferredValue, useEffect, useMemo, useRef, useState } from 'react'
import { useCan, useWorkers } from '../live/hooks.ts'
import { MOST_OLDER, type OlderTasks } from '../live/use-older-tasks.ts'
import { BulkDialog } from '../shell/dialogs.tsx'
import { useMedia } from '../shell/use-media.ts'
import { isPossible } from '../view/commands.ts'
import { countOf, formatCount } from '../view/counts.ts'
import { wholeList } from '../view/older-rows.ts'
import { choose, chooseAll, NOTHING_CHOSEN, type Selection } from '../view/selection.ts'
import { nextSort, sortsOf, type TaskColumn, tracksOf } from '../view/task-columns.ts'
import { FIRST_LIMIT, SORTS, type SortName, type TaskSearch } from '../view/task-search.ts'
import { visibleLine } from '../view/text.ts'
import { BulkBar } from './bulk-bar.tsx'
import type { BulkTarget } from './bulk-dialog.tsx'
import { LinkButton } from './button.tsx'
import { ExportMenu } from './export-menu.tsx'
import { EmptyNote } from './notes.tsx'
import { RowsPill } from './rows-pill.tsx'
import { TaskDrawer } from './task-drawer.tsx'
import { LINE, type LineLayout, ROW_KEYS, TaskLine } from './task-line.tsx'
import { useRowCommands } from './use-row-commands.tsx'

interface Props {
  queryId: string
  rows: readonly TaskRow[]
  loaded: boolean
  /** The filter of the query, for commands on all tasks that match. */
  filter: Record<string, unknown>
  filtered: boolean
  /** Makes the live list longer; undefined if it ends or is as long as it may be. */
  longer: (() => void) | undefined
  /** What follows the live list. */
  older: OlderTasks
  columns: readonly TaskColumn[]
  search: TaskSearch
  sort: SortName
  /** The order if none is chosen. */
  usual: SortName
  onSort: (sort: SortName) => void
  /** Shows a task beside the list, or none. */
  onOpen: (id: string | undefined) => void
}

const WIDE_ROW = 50
const CARD = 84
/** The list is read on when this many rows are left below. */
const NEAR_END = 20
/** The heading of the table, which stays while the rows scroll. */
const HEADING = 34

export function TaskList(props: Props) {
  const { queryId, rows, loaded, filter, filtered, longer, older, columns, search, onOpen } = props
  const workers = useWorkers()
  const mayControl = useCan('control')
  const mayWrite = useCan('write')
  const [selection, setSelection] = useState<Selection>(NOTHING_CHOSEN)
  const [bulk, setBulk] = useState<{ command: CommandName; target: BulkTarget }>()
  const scroller = useRef<HTMLDivElement>(null)
  const [pointed, setPointed] = useState(false)
  const [focused, setFocused] = useState(false)
  const { run, dialog } = useRowCommands(({ _id }) => older.reread([_id]))
  const { rows: held, entered, moved, apply } = useHeldRows(queryId, rows, pointed || focused)
  const shown = useMemo(() => wholeList(held, older), [held, older.rows, older.ids])
  const count = useDeferredValue(rows.length + older.rows.length)
  // Only a full live list can be followed by others.
  const isFull = rows.length >= (search.limit ?? FIRST_LIMIT)
  const more = longer ?? (isFull && older.more ? older.load : undefined)
  const isCut = more !== undefined || older.rows.length >= MOST_OLDER
  const wide = useMedia('(min-width: 1024px)')
  const height = wide ? WIDE_ROW : CARD
  const { layout, width } = useMemo(() => {
    const { template, width } = tracksOf(columns, mayControl)
    return { layout: { columns, style: { gridTemplateColumns: template } } satisfies LineLayout, width }
  }, [columns, mayControl])
  const virtual = useVirtualizer({
    count: shown.length,
    getScrollElement: () => scroller.current,
    estimateSize: () => height,
    overscan: 6,
    scrollPaddingEnd: wide ? HEADING : 0,
  })
  // On purpose: the layout has changed
  useEffect(() => virtual.measure(), [height])
  // On purpose: another query starts at its top, with nothing selected
  useEffect(() => {
    scroller.current?.scrollTo({ top: 0 })
    setSelection(NOTHING_CHOSEN)
  }, [queryId])
  // A row that has left the list may still be shown, but it cannot be selected.
  const here = useMemo(() => shown.filter(({ gone }) => !gone).map(({ row }) => row), [shown])
  const chosen = useMemo(
    () => (selection.all ? here : selection.ids.size === 0 ? [] : here.filter(({ _id }) => selection.ids.has(_id))),
    [selection, here],
  )
  const drawn = useRef(here)
  drawn.current = here
  const order = () => drawn.current.map(({ _id }) => _id)
  const onSelect = useCallback(
    (id: string, range: boolean) => setSelection((before) => choose(before, order(), id, range)),
    [],
  )
  const opener = useRef(onOpen)
  opener.current = onOpen
  const open = useCallback((id: string) => opener.current(id), [])
  const onKeyDown = (event: KeyboardEvent<HTMLElement>) => {
    if (!mayControl || event.ctrlKey || event.metaKey || event.altKey) return
    if (event.key === 'Escape' && chosen.length > 0) {
      event.preventDefault()
      setSelection(NOTHING_CHOSEN)
    }
    const id =
      event.target instanceof Element ? event.target.closest<HTMLElement>('[data-task]')?.dataset.task : undefined
    if (id === undefined) return
    if (event.key === 'x' || event.key === 'X') {
      event.preventDefault()
      onSelect(id, event.shiftKey)
      return
    }
    const task = here.find(({ _id }) => _id === id)
    const command = ROW_KEYS[event.key]?.find((one) => task !== undefined && isPossible(one, task))
    if (task === undefined || command === undefined) return
    event.preventDefault()
    run(command, task)
  }
  const range = virtual.range ?? { startIndex: 0, endIndex: -1 }
  // Scrolling near the end reads on, once for each length of the list.
  const isNearEnd = shown.length > 0 && range.endIndex >= shown.length - NEAR_END
  const readAt = useRef('')
  useEffect(() => {
    const place = `${queryId} ${shown.length} ${older.pages}`
    if (!isNearEnd || more === undefined || older.error !== undefined || readAt.current === place) return
    readAt.current = place
    more()
  }, [isNearEnd, more, older.error, older.pages, queryId, shown])

  const list = (
    <div className="panel relative flex min-h-60 flex-1 flex-col overflow-hidden">
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
        <div
          role="table"
          aria-label="Tasks"
          aria-rowcount={shown.length + 1}
          aria-busy={!loaded}
          style={wide ? { minWidth: width } : undefined}
        >
          {wide && (
            <div role="rowgroup" className="sticky top-0 z-20 border-b border-line bg-panel">
              <div
                role="row"
                aria-rowindex={1}
                className={`heading items-center ${LINE}`}
                style={{ ...layout.style, height: HEADING - 1 }}
              >
                {mayControl && (
                  <span role="columnheader" tabIndex={-1} className="flex justify-center">
                    <input
                      type="checkbox"
                      className="size-3.5 cursor-pointer accent-solid"
                      aria-label="Select all rows"
                      checked={here.length > 0 && chosen.length === here.length}
                      ref={(box) => {
                        if (box !== null) box.indeterminate = chosen.length > 0 && chosen.length < here.length
                      }}
                      disabled={here.length === 0}
                      onChange={() => setSelection((before) => chooseAll(before, order()))}
                    />
                  </span>
                )}
                {columns.map((column) => (
                  <Heading key={column.id} {...props} column={column} search={search} />
                ))}
                <span role="columnheader" tabIndex={-1} className="sr-only">
                  Actions
                </span>
              </div>
            </div>
          )}
          {loaded && shown.length === 0 ? (
            <EmptyNote title={filtered ? 'No task matches' : 'There are no tasks yet'}>
              {mayWrite && !filtered ? 'Press n to start one.' : 'New tasks appear here at once.'}
            </EmptyNote>
          ) : !loaded ? (
            <EmptyNote title="Loading…" />
          ) : (
            <div role="rowgroup" className="relative" style={{ height: virtual.getTotalSize() }}>
              {virtual.getVirtualItems().map((item) => {
                const one = shown[item.index]
                if (one === undefined) return null
                const { row, gone, past = false } = one
                return (
                  <div
                    key={row._id}
                    role="presentation"
                    className="absolute inset-x-0 top-0"
                    style={{ height: item.size, transform: `translateY(${item.start}px)` }}
                  >
                    {past && shown[item.index - 1]?.past !== true && (
                      <p className="absolute -top-2.5 left-1/2 z-10 -translate-x-1/2 rounded-full border border-line bg-panel px-2.5 text-[11px] whitespace-nowrap text-dim">
                        Older tasks, as they were when they were read
                      </p>
                    )}
                    <TaskLine
                      task={row}
                      gone={gone}
                      worker={row.worker === undefined ? undefined : workers.get(row.worker)}
                      visible={item.index >= range.startIndex && item.index <= range.endIndex}
                      place={item.index + 1}
                      layout={wide ? layout : undefined}
                      open={search.open === row._id}
                      past={past}
                      onOpen={open}
                      onCommand={run}
                      selected={mayControl ? !gone && (selection.all || selection.ids.has(row._id)) : undefined}
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
            <p role="status">
              {loaded && countOf(count, 'task', isCut)}
              {older.rows.length > 0 && `, ${formatCount(rows.length)} of them live`}
            </p>
            {older.error !== undefined && <p className="text-bad">{visibleLine(older.error.message, 200)}</p>}
            {more !== undefined && (
              <LinkButton className="px-1.5 py-1 disabled:opacity-55" disabled={older.busy} onClick={more}>
                {older.busy ? 'Loading…' : older.error === undefined ? 'Load more' : 'Try again'}
              </LinkButton>
            )}
            <ExportMenu rows={here} />
            {older.rows.length >= MOST_OLDER && (
              <p>No more than {formatCount(MOST_OLDER)} are read. Filter to see others.</p>
            )}
          </>
        )}
      </div>
      {bulk !== undefined && (
        <BulkDialog
          {...bulk}
          onClose={() => setBulk(undefined)}
          onDone={() => {
            setSelection(NOTHING_CHOSEN)
            older.reread(bulk.target.kind === 'rows' ? bulk.target.tasks.map(({ _id }) => _id) : [...older.ids])
          }}
        />
      )}
      {dialog}
    </div>
  )
  return (
    <>
      {list}
      {search.open !== undefined && (
        <Drawer
          id={search.open}
          rows={here}
          isCut={isCut}
          onOpen={onOpen}
          onCommand={mayControl ? run : undefined}
          show={(index) => virtual.scrollToIndex(index)}
        />
      )}
    </>
  )
}

/** The open task, with its neighbours in the list. */
function Drawer({
  id,
  rows,
  isCut,
  onOpen,
  onCommand,
  show,
}: {
  id: string
  rows: readonly TaskRow[]
  /** Whether more tasks match than the list has. */
  isCut: boolean
  onOpen: Props['onOpen']
  onCommand: ((command: CommandName, task: TaskRow) => void) | undefined
  /** Scrolls the list to a row. */
  show: (index: number) => void
}) {
  const index = useMemo(() => rows.findIndex(({ _id }) => _id === id), [rows, id])
  // A task that has left the list keeps its place there until the next one is opened.
  const last = useRef(0)
  if (index >= 0) last.current = index
  const move = (to: number) => {
    const next = rows[to]
    if (next === undefined) return undefined
    return () => {
      onOpen(next._id)
      show(to)
    }
  }
  const close = () => {
    onOpen(undefined)
    document.querySelector<HTMLElement>(`[data-testid="task-row"][data-task="${id}"] [data-nav]`)?.focus()
  }
  return (
    <TaskDrawer
      id={id}
      place={index === -1 ? undefined : `${formatCount(index + 1)} of ${formatCount(rows.length)}${isCut ? '+' : ''}`}
      onNext={move(index === -1 ? last.current : index + 1)}
      onPrevious={move((index === -1 ? last.current : index) - 1)}
      onClose={close}
      onCommand={onCommand}
    />
  )
}

/** The heading of a column; a button where the list can be put in its order. */
function Heading({ column, search, sort, usual, onSort }: Props & { column: TaskColumn }) {
  const sorts = sortsOf(column, search)
  const isSorted = sorts.includes(sort)
  const isDown = Object.values(SORTS[sort].sort)[0] === -1
  const Arrow = isDown ? ChevronDown : ChevronUp
  const arrow = isSorted && <Arrow size={12} aria-hidden className="shrink-0" />
  return (
    <span
      role="columnheader"
      tabIndex={-1}
      aria-sort={isSorted ? (isDown ? 'descending' : 'ascending') : undefined}
      className={`flex min-w-0 items-center ${column.right === true ? 'justify-end' : ''}`}
    >
      {sorts.length === 0 ? (
        <span className="truncate" title={column.id}>
          {column.title}
        </span>
      ) : (
        <button
          type="button"
          className={`heading inline-flex min-w-0 items-center gap-0.5 rounded hover:text-text ${isSorted ? 'text-text' : ''}`}
          title={sorts.map((name) => SORTS[name].label).join(', ')}
          onClick={() => onSort(nextSort(sorts, sort, usual))}
        >
          {column.title}
          {arrow}
        </button>
      )}
    </span>
  )
}
