import type { WireError } from '@taskfleet/protocol'
import { useConnection, useFleetClient } from '@taskfleet/react'
import { useCallback, useEffect, useRef, useState } from 'react'
import { wireError } from './wire-error.ts'

export interface Asked<T> {
  /** The last answer. It is kept while a newer one is loading or has failed. */
  answer: T | undefined
  /** When the answer arrived, in milliseconds of the server's clock. */
  at: number | undefined
  error: WireError | undefined
  /** Loads again now. */
  tryAgain: () => void
}

interface Options {
  /** Loads again whenever it changes. */
  key: string
  /** Loads again after this long. Without it, only a new key does. */
  everyMs?: number
  /** False while it is not visible: nothing is loaded. */
  active?: boolean
}

const NOTHING = { answer: undefined, at: undefined, error: undefined }

/** Polls data that has no subscription, while the page is visible and connected. */
export function useAsked<T>(ask: () => Promise<T>, { key, everyMs, active = true }: Options): Asked<T> {
  const client = useFleetClient()
  const live = useConnection().state === 'live'
  const latest = useRef(ask)
  latest.current = ask
  const [turn, setTurn] = useState(0)
  const [view, setView] = useState<Omit<Asked<T>, 'tryAgain'>>(NOTHING)
  const tryAgain = useCallback(() => setTurn((before) => before + 1), [])

  // On purpose: another key or turn may have another answer
  useEffect(() => {
    if (!active || !live) return
    let mine = true
    let timer: ReturnType<typeof setTimeout> | undefined
    const round = async () => {
      try {
        const answer = await latest.current()
        if (mine) setView({ answer, at: Date.now() + client.clockOffset, error: undefined })
      } catch (thrown) {
        const error = wireError(thrown)
        // Data that the key may no longer read is not kept.
        if (mine) setView((before) => (error.code === 'FORBIDDEN' ? { ...NOTHING, error } : { ...before, error }))
      }
      if (mine && everyMs !== undefined) timer = setTimeout(whenSeen, everyMs)
    }
    const whenSeen = () => {
      if (document.visibilityState === 'hidden') document.addEventListener('visibilitychange', whenSeen, { once: true })
      else void round()
    }
    whenSeen()
    return () => {
      mine = false
      clearTimeout(timer)
      document.removeEventListener('visibilitychange', whenSeen)
    }
  }, [key, turn, active, live, everyMs, client])
  return { ...view, tryAgain }
}
