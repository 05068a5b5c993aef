import type { FleetApi } from '@taskfleet/client'
import type { FleetStats } from '@taskfleet/protocol'
import { type TryAgain, useSharedView } from './fleet-provider.tsx'
import { keepOpen } from './keep-open.ts'
import type { Start } from './shared-views.ts'

interface Figures {
  /** Undefined before the first answer. */
  readonly stats: FleetStats | undefined
  /** False while the figures may be behind: before the first answer and while the connection is down. */
  readonly live: boolean
  /** Why there are none, such as `BAD_FILTER` as its `code`, or `FORBIDDEN` since the key may not know them any more. */
  readonly error: Error | undefined
}

export type StatsView = Figures & TryAgain

const NOTHING: Figures = { stats: undefined, live: false, error: undefined }

/** The fleet's figures, or those of the tasks that match a filter, kept current while the component is mounted. */
export function useStats(filter?: Record<string, unknown>): StatsView {
  const key = `stats ${JSON.stringify(filter)}`
  return useSharedView(key, NOTHING, (client) => follow(client, filter))
}

function follow(client: FleetApi, filter: Record<string, unknown> | undefined): Start<Figures> {
  return (tell) => {
    const kept = keepOpen(client, {
      open: (lost) =>
        client.subscribeStats(
          filter === undefined ? {} : { filter },
          (stats) => {
            tell(() => ({ stats, live: true, error: undefined }))
          },
          lost,
        ),
      close: (live) => void live.close(),
      failed: (error) => tell(() => ({ ...NOTHING, error })),
    })
    const forget = client.onState((state) => {
      if (state !== 'live') tell((view) => (view.live ? { ...view, live: false } : view))
    })
    return {
      ...kept,
      close: () => {
        forget()
        kept.close()
      },
    }
  }
}
