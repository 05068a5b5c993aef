import type {
  CallbackRow,
  CommandAnswer,
  EventRow,
  KeyRow,
  MissedPolicy,
  OverlapPolicy,
  QueueLimits,
  QueueRow,
  ScheduleRow,
  SetAsideRow,
  TaskRow,
} from '@taskfleet/protocol'
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

/** When a schedule runs: by a cron or a period, of which one is given. */
export interface Timing {
  cron?: string
  /** With its unit, such as `15m`. */
  every?: string
  timeZone: string
  /** ISO 8601; null for none. */
  startsAt?: string | null
  endsAt?: string | null
}

export interface ScheduleFields extends Timing {
  task: string
  version: number
  input: unknown
  /** Null for what is as usual. */
  options: Record<string, string | number | boolean | null>
  missed: MissedPolicy
  overlap: OverlapPolicy
}

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
  /** With its input, which live rows leave out. */
  schedule(name: string): Promise<ScheduleRow>
  createSchedule(schedule: ScheduleFields & { _id: string }): Promise<ScheduleRow>
  /** @param edition the one that was seen; a schedule that somebody has changed since is left alone */
  editSchedule(name: string, changes: ScheduleFields & { edition: number }): Promise<ScheduleRow>
  pauseSchedule(name: string): Promise<ScheduleRow>
  resumeSchedule(name: string): Promise<ScheduleRow>
  runSchedule(name: string): Promise<TaskRow>
  removeSchedule(name: string): Promise<void>
  /** The next slots. */
  previewSchedule(timing: Timing, count: number): Promise<string[]>
  /** What is null is taken away, what is not named stays. */
  limitQueue(queue: string, limits: QueueLimits): Promise<QueueRow>
  /** Documents that don't fit. */
  setAside(): Promise<SetAsideRow[]>
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
    schedule: async (name) => (await call('GET', one('schedules', name))) as ScheduleRow,
    createSchedule: async (schedule) => (await call('POST', '/schedules', withoutNulls(schedule))) as ScheduleRow,
    editSchedule: async (name, changes) => (await call('PATCH', one('schedules', name), changes)) as ScheduleRow,
    pauseSchedule: async (name) => (await call('POST', `${one('schedules', name)}/pause`, {})) as ScheduleRow,
    resumeSchedule: async (name) => (await call('POST', `${one('schedules', name)}/resume`, {})) as ScheduleRow,
    runSchedule: async (name) => (await call('POST', `${one('schedules', name)}/run`, {})) as TaskRow,
    removeSchedule: async (name) => void (await call('DELETE', one('schedules', name))),
    previewSchedule: async (timing, count) => {
      const asked = new URLSearchParams({ ...withoutNulls(timing), count: String(count) } as Record<string, string>)
      return ((await call('GET', `/schedules/preview?${asked}`)) as { slots: string[] }).slots
    },
    limitQueue: async (queue, limits) => (await call('PATCH', one('queues', queue), limits)) as QueueRow,
    setAside: async () => ((await call('GET', '/set-aside')) as { documents: SetAsideRow[] }).documents,
    keys: async () => ((await call('GET', '/keys')) as { keys: KeyRow[] }).keys,
    createKey: async (key) => (await call('POST', '/keys', key)) as { id: string; token: string },
    editKey: async (id, changes) => (await call('PATCH', one('keys', id), changes)) as KeyRow,
    revokeKey: async (id) => void (await call('DELETE', one('keys', id))),
  }
}

/** What is not there can't be taken away. */
function withoutNulls<T extends object>(fields: T): object {
  const given = Object.entries(fields).filter(([, value]) => value !== null && value !== undefined)
  return Object.fromEntries(
    given.map(([field, value]) => [field, field === 'options' ? withoutNulls(value as object) : value]),
  )
}

export const RestContext = createContext<FleetRest | null>(null)

export function useRest(): FleetRest {
  const rest = useContext(RestContext)
  if (rest === null) throw new Error('useRest needs a <RestContext value={rest}> around it')
  return rest
}
