/** The selected rows: some by id, or all that match the list's filter, loaded or not. */
export interface Selection {
  all: boolean
  ids: ReadonlySet<string>
  /** The start of a range. */
  anchor: string | undefined
}

export const NOTHING_CHOSEN: Selection = { all: false, ids: new Set(), anchor: undefined }

/**
 * Called when a row's box was clicked, or `x` was pressed on it.
 * @param order the rows' ids as they are drawn
 * @param range whether it applies to all rows from the anchor
 */
export function choose(before: Selection, order: readonly string[], id: string, range: boolean): Selection {
  // If the user unticks one of "all that match", the visible rows are selected.
  const ids = new Set(before.all ? order : before.ids)
  const on = !ids.has(id)
  const from = range && before.anchor !== undefined ? order.indexOf(before.anchor) : -1
  const to = order.indexOf(id)
  if (from === -1 || to === -1) {
    if (on) ids.add(id)
    else ids.delete(id)
    return { all: false, ids, anchor: id }
  }
  // A range gets the state of its anchor.
  const chosen = ids.has(before.anchor ?? id)
  for (const one of order.slice(Math.min(from, to), Math.max(from, to) + 1)) {
    if (chosen) ids.add(one)
    else ids.delete(one)
  }
  return { all: false, ids, anchor: before.anchor }
}

/** Selects all drawn rows, or none if all are selected. */
export function chooseAll(before: Selection, order: readonly string[]): Selection {
  const every = before.all || (order.length > 0 && order.every((id) => before.ids.has(id)))
  return every ? NOTHING_CHOSEN : { all: false, ids: new Set(order), anchor: undefined }
}
