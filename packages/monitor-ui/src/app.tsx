import { RouterProvider } from '@tanstack/react-router'
import type { FleetApi } from '@taskfleet/client'
import { FleetProvider, useConnection } from '@taskfleet/react'
import { useEffect, useMemo, useState } from 'react'
import { ProgressTracks, TracksContext } from './live/progress-tracks.ts'
import { createMonitorRouter } from './router.tsx'
import { KeyForm } from './shell/key-form.tsx'
import { OwnKeyContext } from './shell/own-key.ts'
import { UiContext } from './shell/ui-context.ts'
import { createUi } from './shell/ui-store.ts'

/** Scrolling back and changing pages reopen nothing. */
const LINGER_MS = 1_500
/** 60 tasks that move are one rendering. */
const FRAME_MS = 80

interface Props {
  /** Connects with a key, or without one. Called again for each key that is tried. */
  connect: (token: string | undefined) => FleetApi
  token: string | undefined
  /** A key was entered by hand. */
  onToken: (token: string) => void
  /** Below which path its pages lie; the root by default. */
  basePath?: string
  router?: ReturnType<typeof createMonitorRouter>
}

/** The whole monitor over any `FleetApi`. */
export function App({ connect, token, onToken, basePath = '/', router }: Props) {
  const [ui] = useState(createUi)
  const [pages] = useState(() => router ?? createMonitorRouter({ basepath: basePath }))
  const [key, setKey] = useState(token)
  const [client, setClient] = useState<FleetApi>()
  const tracks = useMemo(() => new ProgressTracks(), [])
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
            <TracksContext value={tracks}>
              <RouterProvider router={pages} />
            </TracksContext>
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

/** Shows the pages to those whom the gateway lets in, and the form for a key to others. */
function Gate({ onKey, children }: GateProps) {
  const { state, error } = useConnection()
  if (state !== 'refused') return children
  return <KeyForm message={error?.message} onKey={onKey} />
}
