/** Which rows are chosen: some by id, or all that match the list's filter, loaded or not. */
export interface Selection {
  all: boolean
  ids: ReadonlySet<string>
  /** Where a range begins. */
  anchor: string | undefined
}

export const NOTHING_CHOSEN: Selection = { all: false, ids: new Set(), anchor: undefined }

/**
 * A row's box was clicked, or `x` was pressed on it.
 * @param order the rows' ids as they are drawn
 * @param range whether everything from the anchor on is meant
 */
export function choose(before: Selection, order: readonly string[], id: string, range: boolean): Selection {
  // Whoever unticks one of "all that match" means the rows that are seen.
  const ids = new Set(before.all ? order : before.ids)
  const on = !ids.has(id)
  const from = range && before.anchor !== undefined ? order.indexOf(before.anchor) : -1
  const to = order.indexOf(id)
  if (from === -1 || to === -1) {
    if (on) ids.add(id)
    else ids.delete(id)
    return { all: false, ids, anchor: id }
  }
  // A range takes the state that its anchor has.
  const chosen = ids.has(before.anchor ?? id)
  for (const one of order.slice(Math.min(from, to), Math.max(from, to) + 1)) {
    if (chosen) ids.add(one)
    else ids.delete(one)
  }
  return { all: false, ids, anchor: before.anchor }
}

/** Chooses all rows that are drawn, or none if they all were. */
export function chooseAll(before: Selection, order: readonly string[]): Selection {
  const every = before.all || (order.length > 0 && order.every((id) => before.ids.has(id)))
  return every ? NOTHING_CHOSEN : { all: false, ids: new Set(order), anchor: undefined }
}
