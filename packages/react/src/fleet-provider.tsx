import type { FleetApi } from '@taskfleet/client'
import type { FleetError } from '@taskfleet/protocol'
import {
  createContext,
  type ReactElement,
  type ReactNode,
  useCallback,
  useContext,
  useMemo,
  useSyncExternalStore,
} from 'react'
import { FollowedRows } from './followed-rows.ts'
import { Places } from './places.ts'
import { ProgressTracks } from './progress-tracks.ts'
import { SharedViews, type SharedViewsOptions, type Start } from './shared-views.ts'
import { type ConnectionView, connectionOf, type Source, serverTimeOf } from './source.ts'

/** The shared state of the hooks below one provider. */
export interface Shared {
  readonly client: FleetApi
  readonly views: SharedViews
  readonly connection: Source<ConnectionView>
  readonly time: Source<number>
  /** For tasks that are watched with a query of their own. */
  readonly places: Places
  readonly followed: FollowedRows
  readonly tracks: ProgressTracks
}

const FleetContext = createContext<Shared | null>(null)

interface Props extends SharedViewsOptions {
  /** A `FleetClient`, made outside of the components or kept in a state. */
  client: FleetApi
  /** How many tasks are watched by id at the same time, 120 by default. Others wait until one is released. Tasks with a `row` don't count. */
  watchedAtMost?: number
  children?: ReactNode
}

/** Provides the client for the hooks below it. It does not close the client. */
export function FleetProvider({
  client,
  lingerMs = 0,
  frameMs = 0,
  watchedAtMost = 120,
  children,
}: Props): ReactElement {
  const fleet = useMemo(
    () => ({
      client,
      views: new SharedViews({ lingerMs, frameMs }),
      connection: connectionOf(client),
      time: serverTimeOf(client),
      places: new Places(watchedAtMost),
      followed: new FollowedRows(),
      tracks: new ProgressTracks(),
    }),
    [client, lingerMs, frameMs, watchedAtMost],
  )
  return <FleetContext.Provider value={fleet}>{children}</FleetContext.Provider>
}

export function useShared(): Shared {
  const fleet = useContext(FleetContext)
  if (fleet === null) throw new Error("Taskfleet's hooks need a <FleetProvider client={…}> around them")
  return fleet
}

/** The client, for operations such as `client.tasks.enqueue(…)`. */
export function useFleetClient(): FleetApi {
  return useShared().client
}

export interface TryAgain {
  /** Loads a failed view again at once. Temporary errors are also retried automatically. */
  tryAgain(): void
}

/** The state of a view. */
export interface ViewState {
  /** Whether the first answer has come. */
  readonly loaded: boolean
  /** False while the view may be out of date: before the first answer and while the connection is down. */
  readonly live: boolean
  /**
   * Why the view could not be loaded. Its `code` is the gateway's, such as `BAD_FILTER`, or `FORBIDDEN` once the key has lost the
   * permission.
   */
  readonly error: FleetError | undefined
}

/**
 * A view that is kept current while any component uses it.
 *
 * @param key everything that `start` depends on. Undefined to open nothing.
 * @param first the view before the first change. It must be the same object every time.
 */
export function useSharedView<View extends object>(
  key: string | undefined,
  first: View,
  start: (shared: Shared) => Start<View>,
): View & TryAgain {
  const shared = useShared()
  const { views } = shared
  // biome-ignore lint/correctness/useExhaustiveDependencies(start): a new function with every rendering, which does the same as long as the key is the same
  const subscribe = useCallback(
    (listener: () => void) => (key === undefined ? () => {} : views.subscribe(key, first, start(shared), listener)),
    [shared, views, key, first],
  )
  const get = (): View => (key === undefined ? undefined : views.get<View>(key)) ?? first
  const view = useSyncExternalStore(subscribe, get, () => first)
  const tryAgain = useCallback(() => {
    if (key !== undefined) views.tryAgain(key)
  }, [views, key])
  return useMemo(() => ({ ...view, tryAgain }), [view, tryAgain])
}
