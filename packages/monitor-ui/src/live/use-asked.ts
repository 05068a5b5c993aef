import type { WireError } from '@taskfleet/protocol'
import { useConnection, useFleetClient } from '@taskfleet/react'
import { useCallback, useEffect, useRef, useState } from 'react'
import { wireError } from './wire-error.ts'

export interface Asked<T> {
  /** The last answer, kept while a newer one is on its way or was refused. */
  answer: T | undefined
  /** When it came, in milliseconds of the server's clock. */
  at: number | undefined
  error: WireError | undefined
  /** Asks now. */
  tryAgain: () => void
}

interface Options {
  /** Asked anew whenever it changes. */
  key: string
  /** And so often; never again by itself without. */
  everyMs?: number
  /** Nobody looks: nothing is asked. */
  active?: boolean
}

const NOTHING = { answer: undefined, at: undefined, error: undefined }

/** What no subscription tells: asked for while somebody looks and the gateway is there. */
export function useAsked<T>(ask: () => Promise<T>, { key, everyMs, active = true }: Options): Asked<T> {
  const client = useFleetClient()
  const live = useConnection().state === 'live'
  const latest = useRef(ask)
  latest.current = ask
  const [turn, setTurn] = useState(0)
  const [view, setView] = useState<Omit<Asked<T>, 'tryAgain'>>(NOTHING)
  const tryAgain = useCallback(() => setTurn((before) => before + 1), [])

  // On purpose: the key and the turn say that the answer may be another one
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
        // What the key may not know any more is not kept.
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
