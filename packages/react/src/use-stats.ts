import type { FleetApi } from '@taskfleet/client'
import type { FleetStats } from '@taskfleet/protocol'
import { type TryAgain, useSharedView, type ViewState } from './fleet-provider.tsx'
import { keepOpen } from './keep-open.ts'
import type { Start } from './shared-views.ts'

interface Figures extends ViewState {
  /** Undefined before the first answer. */
  readonly stats: FleetStats | undefined
}

export type StatsView = Figures & TryAgain

const NOTHING: Figures = { stats: undefined, loaded: false, live: false, error: undefined }

/** The statistics of the fleet, or of the tasks that match a filter, kept current while the component is mounted. */
export function useStats(filter: Record<string, unknown> = {}): StatsView {
  return useSharedView(`stats ${JSON.stringify(filter)}`, NOTHING, ({ client }) => follow(client, filter))
}

function follow(client: FleetApi, filter: Record<string, unknown>): Start<Figures> {
  return (tell) =>
    keepOpen(client, {
      open: (lost) =>
        client.subscribeStats(
          { filter },
          (stats) => tell(() => ({ stats, loaded: true, live: true, error: undefined })),
          lost,
        ),
      close: (live) => void live.close(),
      failed: (error) => tell(() => ({ ...NOTHING, error })),
      interrupted: () => tell((view) => (view.live ? { ...view, live: false } : view)),
    })
}
