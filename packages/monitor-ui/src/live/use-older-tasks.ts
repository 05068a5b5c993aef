import type { TaskRow, WireError } from '@taskfleet/protocol'
import { useFleetClient } from '@taskfleet/react'
import { useCallback, useEffect, useRef, useState } from 'react'
import { fallenOff, joinOlder, type PastRow, replaced } from '../view/older-rows.ts'
import type { TasksRequest } from './queries.ts'
import { wireError } from './wire-error.ts'

/** Rows of one request. Large rows make smaller answers. */
const PAGE = 500
/** A browser gets slow with more rows. */
export const MOST_OLDER = 100_000
/** A filter takes this many ids. */
const IDS = 200
const MOST_REREAD = 2_000

/** What follows a live list, as it was when it was read. */
export interface OlderTasks {
  rows: readonly PastRow[]
  ids: ReadonlySet<string>
  /** How many pages were read. */
  pages: number
  /** Whether there may be more. */
  more: boolean
  busy: boolean
  error: WireError | undefined
  /** Reads the next page. */
  load: () => void
  /** Reads some rows again, after they were changed. */
  reread: (ids: readonly string[]) => void
}

interface Past {
  queryId: string
  rows: readonly PastRow[]
  ids: ReadonlySet<string>
  cursor: string | undefined
  /** Undefined before the first page was asked for. */
  request: TasksRequest | undefined
  pages: number
  ended: boolean
}

const nothing = (queryId: string): Past => ({
  queryId,
  rows: [],
  ids: new Set(),
  cursor: undefined,
  request: undefined,
  pages: 0,
  ended: false,
})

/**
 * Pages of older tasks below a live list that has reached its limit. They are read by the cursor of `tasks.list` and don't follow
 * changes. A task that leaves the live list at its end, because new ones came, goes on at their beginning.
 *
 * @param queryId names the meaning of the query; with another one, all begins anew
 * @param live the rows of the live list
 */
export function useOlderTasks(queryId: string, query: TasksRequest, live: readonly TaskRow[]): OlderTasks {
  const client = useFleetClient()
  const [kept, setPast] = useState(() => nothing(queryId))
  const [busy, setBusy] = useState(false)
  const [error, setError] = useState<WireError>()
  const past = kept.queryId === queryId ? kept : nothing(queryId)
  const current = useRef({ queryId, query, live, past, busy })
  current.current = { queryId, query, live, past, busy }

  // On purpose: what was read for another query is of no use
  useEffect(() => {
    setPast((before) => (before.queryId === queryId ? before : nothing(queryId)))
    setError(undefined)
  }, [queryId])

  const before = useRef(live)
  useEffect(() => {
    const fallen = fallenOff(before.current, live)
    before.current = live
    if (fallen.length > 0) setPast((known) => (known.request === undefined ? known : withRows(known, fallen, 'first')))
  }, [live])

  const read = useCallback(async () => {
    const { queryId: wanted, query: asked, live: shown, past: known } = current.current
    // Cursors belong to one filter, and a filter by time changes every minute.
    const request = known.request ?? asked
    const { filter, sort } = request
    const only = { ...(filter !== undefined && { filter }), ...(sort !== undefined && { sort }) }
    let { cursor } = known
    setPast((before) => (before.queryId === wanted ? { ...before, request } : { ...nothing(wanted), request }))
    if (known.request === undefined) {
      // Only to know where the live list ends.
      const first = await client.tasks.list({ ...only, fields: ['status'], limit: Math.max(1, shown.length) })
      cursor = first.cursor
    }
    const { tasks, cursor: next } =
      cursor === undefined
        ? { tasks: [], cursor: undefined }
        : await client.tasks.list({ ...only, ...(request.fields && { fields: request.fields }), limit: PAGE, cursor })
    setPast((before) => {
      if (before.queryId !== wanted) return before
      const after = { ...before, request, cursor: next, pages: before.pages + 1, ended: next === undefined }
      return withRows(after, tasks, 'last')
    })
  }, [client])

  const load = useCallback(() => {
    const { busy: isReading, past: known } = current.current
    if (isReading || known.ended || known.rows.length >= MOST_OLDER) return
    setBusy(true)
    setError(undefined)
    const asked = current.current.queryId
    void read()
      .catch((thrown: unknown) => {
        if (current.current.queryId !== asked) return
        setError(wireError(thrown))
        // The first page is to be asked for again.
        setPast((before) => (before.cursor === undefined ? { ...before, request: undefined } : before))
      })
      .finally(() => setBusy(false))
  }, [read])

  const reread = useCallback(
    (ids: readonly string[]) => {
      const { past: known, query: asked, queryId: wanted } = current.current
      const mine = ids.filter((id) => known.ids.has(id))
      if (mine.length > MOST_REREAD) return setPast(nothing(wanted))
      for (let at = 0; at < mine.length; at += IDS) {
        const some = mine.slice(at, at + IDS)
        const request = { filter: { _id: { $in: some } }, limit: some.length }
        void client.tasks.list({ ...request, ...(asked.fields && { fields: asked.fields }) }).then(
          ({ tasks }) => setPast((before) => ({ ...before, rows: replaced(before.rows, tasks) })),
          // They stay as they were read.
          () => undefined,
        )
      }
    },
    [client],
  )

  return {
    rows: past.rows,
    ids: past.ids,
    pages: past.pages,
    more: !past.ended && past.rows.length < MOST_OLDER,
    busy,
    error,
    load,
    reread,
  }
}

function withRows(past: Past, tasks: readonly TaskRow[], where: 'first' | 'last'): Past {
  const rows = joinOlder(past.rows, past.ids, tasks, where)
  return rows === past.rows ? past : { ...past, rows, ids: new Set(rows.map(({ row }) => row._id)) }
}
