import { useVirtualizer } from '@tanstack/react-virtual'
import type { CommandName, TaskRow } from '@taskfleet/protocol'
import { useHeldRows } from '@taskfleet/react'
import {
  type CSSProperties,
  type KeyboardEvent,
  useCallback,
  useDeferredValue,
  useEffect,
  useMemo,
  useRef,
  useState,
} from 'react'
import { useCan, useWorkers } from '../live/hooks.ts'
import { MOST_OLDER, type OlderTasks } from '../live/use-older-tasks.ts'
import { ROW_HEIGHTS } from '../shell/density.ts'
import { BulkDialog } from '../shell/dialogs.tsx'
import { useUi } from '../shell/ui-context.ts'
import { useMedia } from '../shell/use-media.ts'
import { isPossible } from '../view/commands.ts'
import { countOf, formatCount } from '../view/counts.ts'
import { wholeList } from '../view/older-rows.ts'
import { choose, chooseAll, NOTHING_CHOSEN, type Selection } from '../view/selection.ts'
import { mostPinned, onOneLine, pinnedCount, type TaskColumn, tracksOf } from '../view/task-columns.ts'
import { FIRST_LIMIT, type SortName, type TaskSearch } from '../view/task-search.ts'
import { visibleLine } from '../view/text.ts'
import { BulkBar } from './bulk-bar.tsx'
import type { BulkTarget } from './bulk-dialog.tsx'
import { LinkButton } from './button.tsx'
import { ExportMenu } from './export-menu.tsx'
import { EmptyNote } from './notes.tsx'
import { RowsPill } from './rows-pill.tsx'
import { TaskDrawer } from './task-drawer.tsx'
import { HEADING, TaskHeading } from './task-heading.tsx'
import { type LineLayout, ROW_KEYS, TaskLine } from './task-line.tsx'
import { useAct } from './use-act.ts'
import { asksNothing, useCommands } from './use-commands.ts'
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
  /** Called when a column has got another width. */
  onColumns: (columns: readonly TaskColumn[]) => void
  search: TaskSearch
  sort: SortName
  /** The order if none is chosen. */
  usual: SortName
  onSort: (sort: SortName) => void
  /** Shows a task beside the list, or none. */
  onOpen: (id: string | undefined) => void
}

const CARD = 84
/** The list is read on when this many rows are left below, so that they are there when a fast scroll arrives. */
const AHEAD = 250

export function TaskList(props: Props) {
  const { queryId, rows, loaded, filter, filtered, longer, older, search, onColumns, onOpen } = props
  const workers = useWorkers()
  const mayControl = useCan('control')
  const mayWrite = useCan('write')
  const [selection, setSelection] = useState<Selection>(NOTHING_CHOSEN)
  const [bulk, setBulk] = useState<{ command: CommandName; target: BulkTarget }>()
  const scroller = useRef<HTMLDivElement>(null)
  const [pointed, setPointed] = useState(false)
  const [focused, setFocused] = useState(false)
  const { run, dialog } = useRowCommands((id) => older.reread([id]))
  const { busy, actAside } = useAct()
  const { many } = useCommands((ids) => older.reread(ids))
  const { rows: held, entered, moved, apply } = useHeldRows(queryId, rows, pointed || focused)
  const shown = useMemo(() => wholeList(held, older), [held, older.rows, older.ids])
  const count = useDeferredValue(rows.length + older.rows.length)
  // Only a full live list can be followed by others.
  const isFull = rows.length >= (search.limit ?? FIRST_LIMIT)
  const more = longer ?? (isFull && older.more ? older.load : undefined)
  const isCut = more !== undefined || older.rows.length >= MOST_OLDER
  const wide = useMedia('(min-width: 1024px)')
  const density = useUi((ui) => ui.density)
  const height = wide ? ROW_HEIGHTS[density] : CARD
  const dense = density !== 'comfortable'
  const columns = useMemo(() => (dense ? onOneLine(props.columns) : props.columns), [props.columns, dense])
  const { sized, size, finish } = useSizing(columns, onColumns)
  // Rows refer to the tracks by a property, so none of them is rendered while a column gets another width.
  const pinned = Math.min(pinnedCount(columns), mostPinned(columns))
  const layout: LineLayout = useMemo(() => ({ columns, pinned, dense }), [columns, pinned, dense])
  const { template, width } = tracksOf(sized, mayControl)
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
  const isNearEnd = shown.length > 0 && range.endIndex >= shown.length - Math.min(AHEAD, shown.length / 2)
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
          style={wide ? ({ minWidth: width, '--tracks': template } as CSSProperties) : undefined}
        >
          {wide && (
            <TaskHeading
              {...props}
              layout={{ ...layout, columns: sized }}
              box={
                mayControl ? (
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
                ) : undefined
              }
              onSize={size}
              onSized={finish}
            />
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
            busy={busy}
            onCommand={(command, target) => {
              if (!asksNothing(command, target)) return setBulk({ command, target })
              actAside(async () => {
                const done = await many(command, chosen)
                setSelection(NOTHING_CHOSEN)
                return done
              })
            }}
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

/** The columns while one of them is made wider or narrower: the address gets the width when that has ended. */
function useSizing(columns: readonly TaskColumn[], onColumns: Props['onColumns']) {
  const [sizing, setSizing] = useState<{ id: string; own: number }>()
  // On purpose: the columns have the width
  useEffect(() => setSizing(undefined), [columns])
  const sized = useMemo(
    () => columns.map((column) => (column.id === sizing?.id ? { ...column, own: sizing.own } : column)),
    [columns, sizing],
  )
  return {
    sized,
    size: (id: string, own: number) => setSizing({ id, own }),
    finish: (id: string, own: number | undefined) => {
      if (own === undefined) setSizing(undefined)
      onColumns(
        columns.map(({ own: before, ...column }) => {
          const width = column.id === id ? own : before
          return width === undefined ? column : { ...column, own: width }
        }),
      )
    },
  }
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
