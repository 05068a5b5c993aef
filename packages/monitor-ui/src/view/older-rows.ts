import type { TaskRow } from '@taskfleet/protocol'

/** A row of the list. One that has `gone` only keeps its place; a `past` one is as it was when it was read. */
export interface ListRow {
  row: TaskRow
  gone: boolean
  past?: true
}

export interface PastRow extends ListRow {
  past: true
}

const asPast = (row: TaskRow): PastRow => ({ row, gone: false, past: true })

/** The rows that have left a list at its end, because it is full and others came. */
export function fallenOff(before: readonly TaskRow[], now: readonly TaskRow[]): TaskRow[] {
  if (now.length < before.length) return []
  const ids = new Set(now.map(({ _id }) => _id))
  let from = before.length
  while (from > 0 && !ids.has(before[from - 1]!._id)) from -= 1
  // None is left: it is another list.
  return from === 0 ? [] : before.slice(from)
}

/** Past rows with others before or after them; those that are there already are left out. */
export function joinOlder(
  rows: readonly PastRow[],
  ids: ReadonlySet<string>,
  tasks: readonly TaskRow[],
  where: 'first' | 'last',
): readonly PastRow[] {
  const added = tasks.filter(({ _id }) => !ids.has(_id)).map(asPast)
  if (added.length === 0) return rows
  return where === 'first' ? added.concat(rows) : rows.concat(added)
}

export function replaced(rows: readonly PastRow[], tasks: readonly TaskRow[]): readonly PastRow[] {
  const byId = new Map(tasks.map((task) => [task._id, task]))
  return rows.map((one) => {
    const now = byId.get(one.row._id)
    return now === undefined ? one : asPast(now)
  })
}

/** The whole list: live rows, then past ones. A row is there once, live if it can be. */
export function wholeList(
  held: readonly ListRow[],
  { rows, ids }: { rows: readonly PastRow[]; ids: ReadonlySet<string> },
): readonly ListRow[] {
  if (rows.length === 0) return held
  const live = held.filter(({ row, gone }) => !gone || !ids.has(row._id))
  const again = new Set(live.flatMap(({ row }) => (ids.has(row._id) ? row._id : [])))
  const past = again.size === 0 ? rows : rows.filter(({ row }) => !again.has(row._id))
  return live.concat(past)
}
