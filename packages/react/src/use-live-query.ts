import type { FleetApi, RowsReason } from '@taskfleet/client'
import type { CollectionName, CollectionRows, QueryRequest } from '@taskfleet/protocol'
import { type TryAgain, useSharedView, type ViewState } from './fleet-provider.tsx'
import { keepOpen } from './keep-open.ts'
import type { Start } from './shared-views.ts'

interface Rows<N extends CollectionName> extends ViewState {
  /** In the query's order. A row that hasn't changed is the same object as before. */
  readonly rows: readonly CollectionRows[N][]
  /** Why the rows changed last: `snapshot`, `delta`, `resync`, or a reset's reason. */
  readonly reason: RowsReason | undefined
}

export type LiveQueryView<N extends CollectionName = 'tasks'> = Rows<N> & TryAgain

const NOTHING = { rows: [], loaded: false, live: false, error: undefined, reason: undefined }

/**
 * The live rows of a query while the component is mounted. The query may be written in place: it is asked anew when its
 * content changes, and components that ask the same share one subscription.
 */
export function useLiveQuery<N extends CollectionName = 'tasks'>(
  query: QueryRequest & { collection?: N },
): LiveQueryView<N> {
  const { collection = 'tasks', filter, sort, limit, fields } = query
  // As it travels, and in the order that was written: both a sort and an embedded document mean another thing in another one.
  const key = `rows ${JSON.stringify([collection, filter, sort, limit, fields])}`
  return useSharedView<Rows<N>>(key, NOTHING, ({ client }) => follow(client, query))
}

function follow<N extends CollectionName>(client: FleetApi, query: QueryRequest & { collection?: N }): Start<Rows<N>> {
  return (tell) => {
    const keep = rowKeeper<CollectionRows[N]>()
    return keepOpen(client, {
      open: (lost) =>
        client.subscribe<N>(
          query,
          (rows, _delta, reason) => {
            tell((view) => ({
              rows: keep(view.rows, rows),
              loaded: true,
              live: true,
              error: undefined,
              reason,
            }))
          },
          lost,
        ),
      close: (live) => void live.close(),
      failed: (error) => tell(() => ({ ...NOTHING, error })),
      // The rows are right again only when the gateway has said what was missed, which the listener is told.
      interrupted: () => tell((view) => (view.live ? { ...view, live: false } : view)),
    })
  }
}

/**
 * Gives the new rows, with the old objects for those that say the same: what was memoised by row stays so. Each new object is
 * compared once: after a lost connection all of them are, and every later delta brings all of them again.
 */
function rowKeeper<R extends { _id: string }>(): (before: readonly R[], now: readonly R[]) => readonly R[] {
  const kept = new WeakMap<R, R>()
  return (before, now) => {
    const known = new Map(before.map((row) => [row._id, row]))
    const rows = now.map((row) => {
      const old = known.get(row._id)
      const mine = kept.get(row) ?? row
      if (old === undefined || old === mine) return mine
      if (JSON.stringify(old) !== JSON.stringify(row)) return row
      kept.set(row, old)
      return old
    })
    return rows.length === before.length && rows.every((row, index) => row === before[index]) ? before : rows
  }
}
