import type { FleetApi } from '@taskfleet/client'
import {
  createContext,
  type ReactElement,
  type ReactNode,
  useCallback,
  useContext,
  useMemo,
  useSyncExternalStore,
} from 'react'
import { SharedViews, type Start } from './shared-views.ts'

const FleetContext = createContext<{ client: FleetApi; views: SharedViews } | null>(null)

/**
 * Gives the hooks below it their client. Whoever made the client closes it.
 *
 * @param client a `FleetClient`, made outside of the components or kept in a state
 */
export function FleetProvider({ client, children }: { client: FleetApi; children?: ReactNode }): ReactElement {
  const fleet = useMemo(() => ({ client, views: new SharedViews() }), [client])
  return <FleetContext.Provider value={fleet}>{children}</FleetContext.Provider>
}

function useContextOf(): { client: FleetApi; views: SharedViews } {
  const fleet = useContext(FleetContext)
  if (fleet === null) throw new Error("Taskfleet's hooks need a <FleetProvider client={…}> around them")
  return fleet
}

/** The client, for commands such as `client.enqueue(…)`. */
export function useFleetClient(): FleetApi {
  return useContextOf().client
}

/** What every view offers besides what it shows. */
export interface TryAgain {
  /** Asks at once for what `error` says could not be had. It is also asked for by itself, where that can help. */
  tryAgain(): void
}

/**
 * A view that is kept current while any component looks at it.
 *
 * @param key all that `start` depends on
 * @param first what is seen until something has been told; the same object every time
 */
export function useSharedView<View extends object>(
  key: string,
  first: View,
  start: (client: FleetApi) => Start<View>,
): View & TryAgain {
  const { client, views } = useContextOf()
  // biome-ignore lint/correctness/useExhaustiveDependencies(start): another function with every rendering, that means the same as long as the key does
  const subscribe = useCallback(
    (listener: () => void) => views.subscribe(key, first, start(client), listener),
    [client, views, key, first],
  )
  const get = (): View => views.get<View>(key) ?? first
  const view = useSyncExternalStore(subscribe, get, () => first)
  const tryAgain = useCallback(() => views.tryAgain(key), [views, key])
  return useMemo(() => ({ ...view, tryAgain }), [view, tryAgain])
}
