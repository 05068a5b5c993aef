import { parseId } from '@taskfleet/core'
import type { KeyRow, TaskRow } from '@taskfleet/protocol'

type Doc = Record<string, unknown>

const DATE = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/
const ID = /^[0-9a-f]{24}$/
/** What is the user's own stays as it is. */
const OWN = new Set(['input', 'output', 'props', 'checkpoint'])

/** A row as the database holds it: with dates and ids instead of texts. */
export function documentOf(row: object): Doc {
  const revived = (value: unknown): unknown => {
    if (typeof value === 'string') return DATE.test(value) ? new Date(value) : ID.test(value) ? parseId(value) : value
    if (Array.isArray(value)) return value.map(revived)
    return typeof value === 'object' && value !== null ? documentOf(value) : value
  }
  const entries = Object.entries(row).filter(([, value]) => value !== undefined)
  return Object.fromEntries(entries.map(([field, value]) => [field, OWN.has(field) ? value : revived(value)]))
}

/** The lease under which a task's attempt runs. */
export const leaseOf = ({ attempt }: Pick<TaskRow, 'attempt'>): string => `lease-${attempt}`

/** A task with what no row shows: what proves its claim, and what it knows of those that it waits for. */
export function taskDocument(row: TaskRow): Doc {
  const { attempts = [], ...task } = row
  return {
    ...documentOf(task),
    attempts: attempts.map((one) => ({ ...documentOf(one), lease: leaseOf({ attempt: one.n }) })),
    ...(row.status === 'running' && { lease: { id: leaseOf(row), session: row.worker ?? 'w1' } }),
    ...(row.after !== undefined && { predecessors: { completed: [], forgiven: [] } }),
  }
}

export const keyDocument = ({ id, state: _, ...key }: KeyRow): Doc => ({
  ...documentOf(key),
  _id: id,
  hash: '0'.repeat(64),
})
