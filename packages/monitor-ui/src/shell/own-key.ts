import { createContext, useContext } from 'react'

interface OwnKey {
  /** The id of the key that this page was opened with; undefined in a fleet without keys. */
  id: string | undefined
  /** Goes on with another key. */
  change: (key: string) => void
}

export const OwnKeyContext = createContext<OwnKey | null>(null)

export function useOwnKey(): OwnKey {
  const own = useContext(OwnKeyContext)
  if (own === null) throw new Error('useOwnKey needs an <OwnKeyContext value={own}> around it')
  return own
}
