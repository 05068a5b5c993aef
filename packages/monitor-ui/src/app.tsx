import { RouterProvider } from '@tanstack/react-router'
import type { FleetApi } from '@taskfleet/client'
import { useEffect, useMemo, useState, useSyncExternalStore } from 'react'
import { FleetStore } from './live/fleet-store.ts'
import { FleetContext } from './live/hooks.ts'
import { type FleetRest, RestContext } from './live/rest.ts'
import { createMonitorRouter } from './router.tsx'
import { KeyForm } from './shell/key-form.tsx'
import { OwnKeyContext } from './shell/own-key.ts'
import { UiContext } from './shell/ui-context.ts'
import { createUi } from './shell/ui-store.ts'

interface Props {
  /** Connects with a key, or without one. Called again for each key that is tried. */
  connect: (token: string | undefined) => FleetApi
  /** What is asked by REST with the same key. */
  rest: (token: string | undefined) => FleetRest
  token: string | undefined
  /** A key was entered by hand. */
  onToken: (token: string) => void
  router?: ReturnType<typeof createMonitorRouter>
}

/** The whole monitor over any `FleetApi`. */
export function App({ connect, rest, token, onToken, router }: Props) {
  const [ui] = useState(createUi)
  const [pages] = useState(() => router ?? createMonitorRouter())
  const [key, setKey] = useState(token)
  const [store, setStore] = useState<FleetStore>()
  const calls = useMemo(() => rest(key), [rest, key])
  const use = useMemo(
    () => ({
      id: key === undefined ? undefined : /^tf_([0-9a-f]+)_/.exec(key)?.[1],
      change: (entered: string) => {
        onToken(entered)
        setKey(entered)
      },
    }),
    [key, onToken],
  )
  useEffect(() => {
    const mine = new FleetStore(connect(key))
    setStore(mine)
    return () => mine.close()
  }, [connect, key])

  if (store === undefined) return null
  return (
    <FleetContext value={store}>
      <UiContext value={ui}>
        <Gate store={store} onKey={use.change}>
          <RestContext value={calls}>
            <OwnKeyContext value={use}>
              <RouterProvider router={pages} />
            </OwnKeyContext>
          </RestContext>
        </Gate>
      </UiContext>
    </FleetContext>
  )
}

interface GateProps {
  store: FleetStore
  onKey: (key: string) => void
  children: React.ReactNode
}

/** Shows the pages to those whom the gateway lets in, and the form for a key to others. */
function Gate({ store, onKey, children }: GateProps) {
  const { state, error } = useSyncExternalStore(store.connection.subscribe, store.connection.get)
  if (state !== 'refused') return children
  return <KeyForm message={error?.message} onKey={onKey} />
}
