import type { CallbackRow, CommandAnswer, EventRow, KeyRow } from '@taskfleet/core/protocol'
import { createContext, useContext } from 'react'
import { restCall } from './rest-call.ts'
import type { Session } from './session.ts'
import { wireError } from './wire-error.ts'

export interface NewEvent {
  /** Makes a repeated request harmless. */
  _id: string
  name: string
  props: Record<string, unknown>
  /** ISO 8601; at once without. */
  scheduledFor?: string
  priority?: number
}

export type CallbackFields = Pick<CallbackRow, 'event' | 'task' | 'version' | 'defaults'>

/** What the monitor asks of the gateway by REST, because its socket doesn't speak of it. */
export interface FleetRest {
  postEvent(event: NewEvent): Promise<EventRow>
  cancelEvent(id: string, reason?: string): Promise<CommandAnswer>
  removeEvent(id: string): Promise<void>
  callbacks(): Promise<CallbackRow[]>
  createCallback(callback: CallbackFields & { _id: string }): Promise<CallbackRow>
  /** @param rev the revision that was seen; a callback that was changed since is left alone */
  editCallback(id: string, changes: CallbackFields & { rev: number }): Promise<CallbackRow>
  removeCallback(id: string): Promise<void>
  keys(): Promise<KeyRow[]>
  /** @returns the token, which is told this once */
  createKey(key: KeyFields): Promise<{ id: string; token: string }>
  editKey(id: string, changes: KeyChanges): Promise<KeyRow>
  revokeKey(id: string): Promise<void>
}

/** What a key is to be. */
export type KeyFields = Pick<KeyRow, 'name' | 'scopes' | 'queues' | 'names' | 'expiresAt'>
/** What is to change of one; null takes a limit or the end away. */
export type KeyChanges = {
  [F in keyof KeyFields]?: KeyFields[F] | (F extends 'name' | 'scopes' ? never : null)
}

interface RestOptions {
  /** The gateway's address. */
  url: string
  /** What to show; absent in a fleet without keys. */
  session: Pick<Session, 'current' | 'fresh'> | undefined
  fetch?: typeof fetch
}

/** The calls reject with an error that has the gateway's `code` and `field`, or with `UNREACHABLE`. */
export function createRest({ url, session, fetch }: RestOptions): FleetRest {
  const call = async (method: string, path: string, body?: object): Promise<unknown> => {
    const request = { url, method, path, body, fetch }
    const token = await session?.current()
    try {
      return await restCall({ ...request, token })
    } catch (error) {
      // The session may have ended, which only the gateway knows. What it refuses it has not done.
      if (session === undefined || wireError(error).code !== 'UNAUTHENTICATED') throw error
      return restCall({ ...request, token: await session.fresh() })
    }
  }
  const one = (collection: string, id: string): string => `/${collection}/${encodeURIComponent(id)}`
  return {
    postEvent: async (event) => (await call('POST', '/events', event)) as EventRow,
    cancelEvent: async (id, reason) =>
      (await call('POST', `${one('events', id)}/cancel`, reason === undefined ? {} : { reason })) as CommandAnswer,
    removeEvent: async (id) => void (await call('DELETE', one('events', id))),
    callbacks: async () => ((await call('GET', '/callbacks')) as { callbacks: CallbackRow[] }).callbacks,
    createCallback: async (callback) => (await call('POST', '/callbacks', callback)) as CallbackRow,
    editCallback: async (id, changes) => (await call('PATCH', one('callbacks', id), changes)) as CallbackRow,
    removeCallback: async (id) => void (await call('DELETE', one('callbacks', id))),
    keys: async () => ((await call('GET', '/keys')) as { keys: KeyRow[] }).keys,
    createKey: async (key) => (await call('POST', '/keys', key)) as { id: string; token: string },
    editKey: async (id, changes) => (await call('PATCH', one('keys', id), changes)) as KeyRow,
    revokeKey: async (id) => void (await call('DELETE', one('keys', id))),
  }
}

export const RestContext = createContext<FleetRest | null>(null)

export function useRest(): FleetRest {
  const rest = useContext(RestContext)
  if (rest === null) throw new Error('useRest needs a <RestContext value={rest}> around it')
  return rest
}
