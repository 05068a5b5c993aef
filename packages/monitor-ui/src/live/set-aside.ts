import type { SetAsideRow } from '@taskfleet/protocol'
import { createContext, useContext } from 'react'
import { restCall } from './rest-call.ts'
import type { Session } from './session.ts'
import { wireError } from './wire-error.ts'

/** Lists the documents that do not fit. */
export type ListSetAside = () => Promise<SetAsideRow[]>

interface Options {
  /** The gateway's address. */
  url: string
  /** What to show; absent in a fleet without keys. */
  session: Pick<Session, 'current' | 'fresh'> | undefined
  fetch?: typeof fetch
}

/** By REST: no operation of the socket lists them. */
export function listSetAside({ url, session, fetch }: Options): ListSetAside {
  const ask = async (token: string | undefined) =>
    ((await restCall({ url, token, method: 'GET', path: '/set-aside', fetch })) as { documents: SetAsideRow[] })
      .documents
  return async () => {
    const token = await session?.current()
    return ask(token).catch(async (error: unknown) => {
      // The session may have ended, which only the gateway knows.
      if (session === undefined || wireError(error).code !== 'UNAUTHENTICATED') throw error
      return ask(await session.fresh())
    })
  }
}

export const SetAsideContext = createContext<ListSetAside>(async () => [])

export const useSetAside = (): ListSetAside => useContext(SetAsideContext)
