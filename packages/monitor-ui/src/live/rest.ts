import type {
  CallbackRow,
  CommandAnswer,
  EventRow,
  MissedPolicy,
  OverlapPolicy,
  QueueLimits,
  QueueRow,
  ScheduleRow,
  TaskRow,
} from '@taskfleet/core/protocol'
import { createContext, useContext } from 'react'

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
}

/** What the gateway answered instead of doing it, or why there was no answer. */
class RestError extends Error {
  readonly code: string
  readonly field: string | undefined

  constructor(code: string, message: string, field?: string) {
    super(message)
    this.code = code
    this.field = field
  }
}

interface RestOptions {
  /** The gateway's address. */
  url: string
  token: string | undefined
  fetch?: typeof fetch
}

/** The calls reject with an error that has the gateway's `code` and `field`, or with `UNREACHABLE`. */
export function createRest({ url, token, fetch: send = (...request) => fetch(...request) }: RestOptions): FleetRest {
  const call = async (method: string, path: string, body?: object): Promise<unknown> => {
    const headers = {
      accept: 'application/json',
      ...(token !== undefined && { authorization: `Bearer ${token}` }),
      ...(body !== undefined && { 'content-type': 'application/json' }),
    }
    const asked = {
      method,
      headers,
      cache: 'no-store',
      ...(body !== undefined && { body: JSON.stringify(body) }),
    } as const
    const response = await send(`${url}/api/v1${path}`, asked).catch(() => {
      throw new RestError('UNREACHABLE', 'The gateway could not be reached')
    })
    const answer: unknown = await response.json().catch(() => undefined)
    if (!response.ok) throw problemOf(response, answer)
    return answer
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
  }
}

/** What is not there can't be taken away. */
function withoutNulls<T extends object>(fields: T): object {
  const given = Object.entries(fields).filter(([, value]) => value !== null && value !== undefined)
  return Object.fromEntries(
    given.map(([field, value]) => [field, field === 'options' ? withoutNulls(value as object) : value]),
  )
}

/** The error of a problem document (RFC 9457), or of whatever a proxy put in its place. */
function problemOf({ status }: Response, answer: unknown): RestError {
  const { code, title, field } = (typeof answer === 'object' && answer !== null ? answer : {}) as Record<
    string,
    unknown
  >
  return new RestError(
    typeof code === 'string' ? code : `HTTP_${status}`,
    typeof title === 'string' ? title : `The gateway answered ${status}`,
    typeof field === 'string' ? field : undefined,
  )
}

export const RestContext = createContext<FleetRest | null>(null)

export function useRest(): FleetRest {
  const rest = useContext(RestContext)
  if (rest === null) throw new Error('useRest needs a <RestContext value={rest}> around it')
  return rest
}
