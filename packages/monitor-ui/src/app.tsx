import { RouterProvider } from '@tanstack/react-router'
import type { FleetApi } from '@taskfleet/client'
import { FleetProvider, useConnection } from '@taskfleet/react'
import { useEffect, useMemo, useState } from 'react'
import { createMonitorRouter } from './router.tsx'
import { KeyForm } from './shell/dialogs.tsx'
import { OwnKeyContext } from './shell/own-key.ts'
import { UiContext } from './shell/ui-context.ts'
import { createUi } from './shell/ui-store.ts'

/** Views stay open this long, so scrolling back or changing pages does not reopen them. */
const LINGER_MS = 1_500
/** Changes within this time are rendered together. */
const FRAME_MS = 80

interface Props {
  /** Connects with or without a key. Called for each key that the user tries. */
  connect: (token: string | undefined) => FleetApi
  token: string | undefined
  /** Called when the user has entered a key. */
  onToken: (token: string) => void
  /** The path above the pages, the root by default. */
  basePath?: string
  router?: ReturnType<typeof createMonitorRouter>
}

/** The whole monitor over any `FleetApi`. */
export function App({ connect, token, onToken, basePath = '/', router }: Props) {
  const [ui] = useState(createUi)
  const [pages] = useState(() => router ?? createMonitorRouter({ basepath: basePath }))
  const [key, setKey] = useState(token)
  const [client, setClient] = useState<FleetApi>()
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
    const mine = connect(key)
    setClient(mine)
    return () => mine.close()
  }, [connect, key])

  if (client === undefined) return null
  return (
    <FleetProvider client={client} lingerMs={LINGER_MS} frameMs={FRAME_MS}>
      <UiContext value={ui}>
        <Gate onKey={use.change}>
          <OwnKeyContext value={use}>
            <RouterProvider router={pages} />
          </OwnKeyContext>
        </Gate>
      </UiContext>
    </FleetProvider>
  )
}

interface GateProps {
  onKey: (key: string) => void
  children: React.ReactNode
}

/** Shows the pages, or the form for a key when the gateway refuses the connection. */
function Gate({ onKey, children }: GateProps) {
  const { state, error } = useConnection()
  if (state !== 'refused') return children
  return <KeyForm message={error?.message} onKey={onKey} />
}
