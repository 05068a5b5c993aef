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
import { ConnectionWatch } from './connection-watch.ts'
import { Places } from './places.ts'
import { ServerTime } from './server-time.ts'
import { SharedViews, type SharedViewsOptions, type Start } from './shared-views.ts'

/** What the hooks below one provider share. */
export interface Shared {
  readonly client: FleetApi
  readonly views: SharedViews
  readonly connection: ConnectionWatch
  readonly time: ServerTime
  /** For the sockets of watched tasks. */
  readonly places: Places
}

const FleetContext = createContext<Shared | null>(null)

interface Props extends SharedViewsOptions {
  /** A `FleetClient`, made outside of the components or kept in a state. */
  client: FleetApi
  /** How many tasks are watched at the same time; 120 by default. The others get their turn when one is let go. */
  watchedAtMost?: number
  children?: ReactNode
}

/** Gives the hooks below it their client. Whoever made the client closes it. */
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
      connection: new ConnectionWatch(client),
      time: new ServerTime(client),
      places: new Places(watchedAtMost),
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

/** What every view offers besides what it shows. */
export interface TryAgain {
  /** Asks at once for what `error` says could not be had. It is also asked for by itself, where that can help. */
  tryAgain(): void
}

/** What every view says of itself. */
export interface ViewState {
  /** Whether the first answer has come. */
  readonly loaded: boolean
  /** False while what is shown may be behind: before the first answer and while the connection is down. */
  readonly live: boolean
  /**
   * Why there is nothing to show: what the gateway refuses with, such as `BAD_FILTER` as its `code`, or `FORBIDDEN` from the
   * moment on when the key has lost the right to it.
   */
  readonly error: FleetError | undefined
}

/**
 * A view that is kept current while any component looks at it.
 *
 * @param key all that `start` depends on; undefined where nothing is to be looked at
 * @param first what is seen until something has been told; the same object every time
 */
export function useSharedView<View extends object>(
  key: string | undefined,
  first: View,
  start: (shared: Shared) => Start<View>,
): View & TryAgain {
  const shared = useShared()
  const { views } = shared
  // biome-ignore lint/correctness/useExhaustiveDependencies(start): another function with every rendering, that means the same as long as the key does
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
