import type { FleetApi } from '@taskfleet/client'
import type { AttentionRow } from '@taskfleet/protocol'
import { type TryAgain, useSharedView, type ViewState } from './fleet-provider.tsx'
import { keepOpen } from './keep-open.ts'
import type { Start } from './shared-views.ts'

interface Rows extends ViewState {
  /** The most urgent first; empty if all is well. With `error`, the last known ones. */
  readonly rows: readonly AttentionRow[]
}

export type AttentionView = Rows & TryAgain

const NOTHING: Rows = { rows: [], loaded: false, live: false, error: undefined }

/** What needs somebody, kept current while the component is mounted. */
export function useAttention(): AttentionView {
  return useSharedView('attention', NOTHING, ({ client }) => follow(client))
}

function follow(client: FleetApi): Start<Rows> {
  return (tell) =>
    keepOpen(client, {
      open: (lost) =>
        client.subscribeAttention(
          (rows, error) => tell(() => ({ rows, loaded: true, live: error === undefined, error })),
          lost,
        ),
      close: (live) => void live.close(),
      failed: (error) => tell(() => ({ ...NOTHING, error })),
      interrupted: () => tell((view) => (view.live ? { ...view, live: false } : view)),
    })
}
