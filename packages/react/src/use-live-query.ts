import type { FleetApi, RowsReason } from '@taskfleet/client'
import type { CollectionName, CollectionRows, QueryRequest } from '@taskfleet/protocol'
import { type TryAgain, useSharedView, type ViewState } from './fleet-provider.tsx'
import { keepOpen } from './keep-open.ts'
import type { Start } from './shared-views.ts'

interface Rows<N extends CollectionName> extends ViewState {
  /** In the query's order. An unchanged row is the same object as before. */
  readonly rows: readonly CollectionRows[N][]
  /** The reason of the last change: `snapshot`, `delta`, `resync`, or a reset's reason. */
  readonly reason: RowsReason | undefined
}

export type LiveQueryView<N extends CollectionName = 'tasks'> = Rows<N> & TryAgain

const NOTHING = { rows: [], loaded: false, live: false, error: undefined, reason: undefined }

/**
 * The live rows of a query while the component is mounted. The query may be an inline object: a new subscription starts only when
 * its content changes, and components with the same query share one.
 */
export function useLiveQuery<N extends CollectionName = 'tasks'>(
  query: QueryRequest & { collection?: N },
): LiveQueryView<N> {
  const { collection = 'tasks', filter, sort, limit, fields } = query
  // Serialised in the written order of its fields, which matters for a sort and for an embedded document.
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
      // The rows are current only after the gateway has sent the missed changes, which calls the listener.
      interrupted: () => tell((view) => (view.live ? { ...view, live: false } : view)),
    })
  }
}

/**
 * Returns the new rows, with the old objects for unchanged ones, so that components memoised by row stay. Each new object is
 * compared once: after a lost connection all of them are, and every later delta contains all of them again.
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
