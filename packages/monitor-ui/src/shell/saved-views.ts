import { parseRangeSearch, type RangeSearch } from '../view/range.ts'
import { changedSearch } from '../view/search.ts'
import { parseTaskSearch, type TaskSearch, writeTaskSearch } from '../view/task-search.ts'
import { keepChoice, keptChoice } from './kept-choice.ts'

const KEY = 'views'
const MOST = 50
const LONGEST_NAME = 60

/** A list of tasks that the reader has named: its filters, order, columns and range. */
export interface SavedView {
  name: string
  /** As in the address: `status=failed&range=24h`. */
  search: string
}

/** The views of this browser, by name. */
export function savedViews(): SavedView[] {
  try {
    const kept: unknown = JSON.parse(keptChoice(KEY) ?? '[]')
    return Array.isArray(kept) ? kept.filter(isView) : []
  } catch {
    return []
  }
}

const isView = (value: unknown): value is SavedView =>
  typeof value === 'object' &&
  value !== null &&
  typeof (value as SavedView).name === 'string' &&
  typeof (value as SavedView).search === 'string'

/** Keeps a view in the place of one with the same name. Beyond 50, the first ones are forgotten. */
export function saveView(name: string, search: TaskSearch & RangeSearch): SavedView[] {
  const view = { name: name.trim().slice(0, LONGEST_NAME), search: writeView(search) }
  return keep([...savedViews().filter((one) => one.name !== view.name), view].slice(-MOST))
}

export function dropView(name: string): SavedView[] {
  return keep(savedViews().filter((one) => one.name !== name))
}

function keep(views: SavedView[]): SavedView[] {
  const sorted = views.toSorted((a, b) => a.name.localeCompare(b.name))
  keepChoice(KEY, sorted.length === 0 ? undefined : JSON.stringify(sorted))
  return sorted
}

/** The text of a view. How many rows are loaded and which task is open are no part of it. */
export function writeView({ range, ...search }: TaskSearch & RangeSearch): string {
  const shown = changedSearch(search as TaskSearch, { limit: undefined, open: undefined })
  return new URLSearchParams({ ...writeTaskSearch(shown), ...parseRangeSearch({ range }) }).toString()
}

/** The search that a view means. A view without a range shows any time. */
export function searchOfView({ search }: SavedView): TaskSearch & { range: string | undefined } {
  const raw = Object.fromEntries(new URLSearchParams(search))
  return { ...parseTaskSearch(raw), range: parseRangeSearch(raw).range }
}
