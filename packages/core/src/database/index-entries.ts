import type { TaskDocument } from '../task/task-document.ts'
import type { IndexSpec } from './index-specs.ts'
import { INDEXES } from './indexes.ts'

/** An index's entry for a document. */
export interface IndexEntry {
  index: string
  values: unknown[]
}

/** The entries of a task in the indexes of `tasks`, as a server decides it from their partial filters. For measurements and tests. */
export function indexEntries(task: Partial<TaskDocument>): IndexEntry[] {
  const at = (path: string): unknown =>
    path.split('.').reduce<unknown>((value, part) => (value as Record<string, unknown> | undefined)?.[part], task)
  const fits = ([path, condition]: [string, unknown]): boolean => {
    const { $exists: exists, $in: among } = Object(condition) as { $exists?: boolean; $in?: unknown[] }
    return exists === true ? at(path) !== undefined : (among ?? [condition]).includes(at(path))
  }
  const holding = INDEXES.filter(
    ({ collection, sparse, partialFilterExpression = {}, key }) =>
      collection === 'tasks' &&
      Object.entries(partialFilterExpression).every(fits) &&
      !isWildcard(key) &&
      (sparse !== true || Object.keys(key).some((path) => at(path) !== undefined)),
  )
  const entries = [{ name: '_id', key: { _id: 1 } }, ...holding].map(({ name, key }) => ({
    index: name,
    // An index that is neither sparse nor partial has an entry for a field that is not there, too.
    values: Object.keys(key).map((path) => at(path) ?? null),
  }))
  const wild = INDEXES.filter(({ collection, key }) => collection === 'tasks' && isWildcard(key))
  const below = ({ name, key }: IndexSpec): IndexEntry[] => {
    const path = Object.keys(key)[0]!.slice(0, -WILDCARD.length)
    return Object.entries(Object(at(path)) as object).map((entry) => ({ index: name, values: entry }))
  }
  return [...entries, ...wild.flatMap(below)]
}

const WILDCARD = '.$**'

/** Whether an index has an entry for each field below a path, and so none for a document without them. */
export const isWildcard = (key: IndexSpec['key']): boolean => Object.keys(key).some((path) => path.endsWith(WILDCARD))
