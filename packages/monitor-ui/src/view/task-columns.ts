import { hasEnded, type TaskRow, type WorkerRow } from '@taskfleet/protocol'
import { COLUMN_PATH, SORTS, type SortName, type TaskSearch } from './task-search.ts'
import { compactJson } from './text.ts'

/** A column of the list of tasks. */
export interface TaskColumn {
  /** Its name in the address: a known name, or a path such as `input.to`. */
  id: string
  title: string
  /** Its least width in pixels. */
  width: number
  /** Its least width where a row has one line only; the same by default. */
  oneLine?: number
  /** Its share of the room that is left; none by default. */
  grows?: number
  /** The width that the reader has given it, in pixels; it doesn't grow then. */
  own?: number
  /** It stays in view while the list scrolls sideways, as do all columns before it. */
  pinned?: boolean
  /** The orders in which its heading puts the list, the first of them first. Only orders that an index has. */
  sorts?: readonly SortName[]
  /** Numbers and times are set to the right. */
  right?: boolean
}

const KNOWN = {
  status: { title: 'Status', width: 118, oneLine: 196 },
  title: { title: 'Task', width: 168, grows: 1.3 },
  handler: { title: 'Handler', width: 110, grows: 0.5 },
  queue: { title: 'Queue', width: 80, grows: 0.3 },
  host: { title: 'Host', width: 84, grows: 0.5 },
  progress: { title: 'Progress', width: 190, grows: 1 },
  error: { title: 'Error', width: 120, grows: 0.6 },
  attempt: { title: 'Attempt', width: 64 },
  priority: { title: 'Prio', width: 48, sorts: ['-priority'] },
  wait: { title: 'Waited', width: 72, right: true },
  run: { title: 'Ran', width: 72, right: true, sorts: ['startedAt'] },
  created: { title: 'Created', width: 84, right: true, sorts: ['-createdAt', 'createdAt'] },
  started: { title: 'Started', width: 84, right: true, sorts: ['-startedAt', 'startedAt'] },
  ended: { title: 'Ended', width: 84, right: true, sorts: ['-finishedAt'] },
  due: { title: 'Due', width: 84, right: true },
  age: { title: 'Age', width: 102, right: true, sorts: ['-createdAt', 'createdAt'] },
} as const satisfies Record<string, Omit<TaskColumn, 'id'>>
type KnownColumn = keyof typeof KNOWN

export const COLUMN_NAMES = Object.keys(KNOWN) as KnownColumn[]
export const DEFAULT_COLUMNS = 'status,title,host,progress,attempt,priority,age'

const isKnown = (id: string): id is KnownColumn => Object.hasOwn(KNOWN, id)

/** The column of a name; undefined if there is none. */
export function columnOf(id: string): TaskColumn | undefined {
  if (isKnown(id)) return { id, ...KNOWN[id] }
  if (!COLUMN_PATH.test(id)) return undefined
  return { id, title: id.replace(/^labels\./, ''), width: 96, grows: 0.5 }
}

/** How narrow and how wide a reader may make a column, in pixels. */
export const [NARROWEST, WIDEST] = [40, 800]
/** Pinned columns take no more than this, so that the others have room beside them in a window of 1024 px. */
const MOST_PINNED = 520

export const boundWidth = (width: number): number => Math.min(WIDEST, Math.max(NARROWEST, Math.round(width)))

/**
 * The columns of a text such as `status:pin,title:320:pin,input.to`: names, each with its width and whether it is pinned. What is not
 * understood is left out. The title is always among them, since it leads to the task.
 */
export function columnsOf(text: string): TaskColumn[] {
  const columns = new Map<string, TaskColumn>()
  for (const part of text.split(',')) {
    const [id = '', ...marks] = part.split(':')
    const column = columnOf(id)
    if (column === undefined || columns.has(id)) continue
    const own = marks.find((mark) => /^\d{1,5}$/.test(mark))
    columns.set(id, {
      ...column,
      ...(own !== undefined && { own: boundWidth(Number(own)) }),
      ...(marks.includes('pin') && { pinned: true }),
    })
  }
  const all = [...columns.values()]
  const named = columns.has('title') ? all : [columnOf('title')!, ...all]
  return pinFirst(named, pinnedCount(named))
}

/** The columns where a row has one line only. */
export const onOneLine = (columns: readonly TaskColumn[]): TaskColumn[] =>
  columns.map((column) => ({ ...column, width: column.oneLine ?? column.width }))

/** The text of columns, as in the address. */
export function writeColumns(columns: readonly TaskColumn[]): string {
  return columns
    .map(({ id, own, pinned = false }) => [id, own, pinned ? 'pin' : undefined].filter((mark) => mark !== undefined))
    .map((marks) => marks.join(':'))
    .join(',')
}

/** How many of the first columns are pinned. */
export function pinnedCount(columns: readonly TaskColumn[]): number {
  const free = columns.findIndex(({ pinned = false }) => !pinned)
  return free === -1 ? columns.length : free
}

/** Pins as many of the first columns and no others. */
export function pinFirst(columns: readonly TaskColumn[], count: number): TaskColumn[] {
  return columns.map(({ pinned: _, ...column }, index) => (index < count ? { ...column, pinned: true } : column))
}

/** How many of the first columns may be pinned. */
export function mostPinned(columns: readonly TaskColumn[]): number {
  let [count, width] = [0, 0]
  for (const column of columns) {
    width += leastOf(column) + GAP
    if (width > MOST_PINNED) break
    count += 1
  }
  return count
}

const leastOf = ({ own, width }: TaskColumn): number => own ?? width

/** The tracks of a grid with these columns, and its least width in pixels. */
export function tracksOf(columns: readonly TaskColumn[], selectable: boolean): { template: string; width: number } {
  const tracks = columns.map(({ width, grows, own }) =>
    own !== undefined || grows === undefined ? `${own ?? width}px` : `minmax(${width}px, ${grows}fr)`,
  )
  const isFixed = columns.every(({ grows, own }) => own !== undefined || grows === undefined)
  const least = columns.reduce((sum, column) => sum + leastOf(column) + GAP, 0)
  return {
    // The last one holds the actions of the row; it takes the room that no column takes.
    template: [...(selectable ? [`${BOX}px`] : []), ...tracks, isFixed ? 'minmax(0px, 1fr)' : '0px'].join(' '),
    width: least + (selectable ? BOX + GAP : 0) + 2 * PADDING,
  }
}
const BOX = 20
const GAP = 12
const PADDING = 12

/** The orders of a column that fit the statuses of a search. */
export function sortsOf({ sorts = [] }: TaskColumn, { status }: TaskSearch): readonly SortName[] {
  return sorts.filter((name) => {
    const { statuses } = SORTS[name]
    return statuses === undefined || status === undefined || status.every((one) => statuses.includes(one))
  })
}

/** The order after a click on a heading: each of its orders in turn, then the usual one. */
export function nextSort(sorts: readonly SortName[], sort: SortName, usual: SortName): SortName {
  return sorts[sorts.indexOf(sort) + 1] ?? usual
}

/** What a task has at a path, as a text; undefined if nothing. */
export function valueAt(task: TaskRow, path: string): string | undefined {
  let value: unknown = task
  for (const key of path.split('.')) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, key)) return undefined
    value = (value as Record<string, unknown>)[key]
  }
  return typeof value === 'string' ? value : compactJson(value)
}

/** The host that runs a task, or that ran an ended one last. A waiting task has none: the next claim decides. */
export function hostOf({ status, host, worker: id }: TaskRow, worker: WorkerRow | undefined): string | undefined {
  return status === 'running' || hasEnded(status) ? (host ?? worker?.name ?? id) : undefined
}

/** From due to claimed, or until now, in milliseconds; undefined before it is due. */
export function waitOf({ runAt, claimedAt, finishedAt }: TaskRow, now: number): number | undefined {
  const until = claimedAt ?? finishedAt
  const waited = (until === undefined ? now : Date.parse(until)) - Date.parse(runAt)
  return waited < 0 ? (claimedAt === undefined ? undefined : 0) : waited
}

/** How long the last attempt ran, or runs, in milliseconds. */
export function runOf({ startedAt, claimedAt, finishedAt }: TaskRow, now: number): number | undefined {
  const begun = startedAt ?? claimedAt
  if (begun === undefined) return undefined
  return Math.max(0, (finishedAt === undefined ? now : Date.parse(finishedAt)) - Date.parse(begun))
}
