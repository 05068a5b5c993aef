import {
  type CallbackRow,
  type CommandAnswer,
  type EventRow,
  type KeyRow,
  milliseconds,
  type Pruned,
  type QueueRow,
  type Retention,
  type ScheduleRow,
  type TaskRow,
} from '@taskfleet/protocol'
import { ObjectId } from 'mongodb'
import type { FleetAdmin } from './admin.ts'
import type { RestClient, RestRequest } from './rest-client.ts'

/** What the API gives at most, as core does. */
const MOST = 1_000
/** Removing a great many tasks takes its time, and nothing is told before it is done; `fetch` itself waits for five minutes. */
const PRUNE_MS = 280_000

/** Through a gateway's REST API. What makes something has its id before it is sent, so that it may be sent again. */
export function gatewayAdmin(rest: RestClient): FleetAdmin {
  const at = (collection: string, id: unknown): string => `/${collection}/${encodeURIComponent(String(id))}`
  const once = (request: unknown): object => ({ _id: new ObjectId().toHexString(), ...(request as object) })
  return {
    events: {
      post: (request) => rest.ask<EventRow>('POST', '/events', { body: once(request), repeatable: true }),
      show: (id) => rest.ask<EventRow>('GET', at('events', id)),
      cancel: (id, reason) => rest.ask<CommandAnswer>('POST', `${at('events', id)}/cancel`, because(reason)),
      remove: (id) => rest.ask('DELETE', at('events', id)),
      createCallback: (request) =>
        rest.ask<CallbackRow>('POST', '/callbacks', { body: once(request), repeatable: true }),
      editCallback: (id, changes, rev) =>
        rest.ask<CallbackRow>('PATCH', at('callbacks', id), {
          body: { ...changes, ...(rev === undefined ? {} : { rev }) },
        }),
      showCallback: (id) => rest.ask<CallbackRow>('GET', at('callbacks', id)),
      async listCallbacks({ event, limit = MOST } = {}) {
        const query = { event, limit: Math.min(MOST, limit) }
        return (await rest.ask<{ callbacks: CallbackRow[] }>('GET', '/callbacks', { query })).callbacks
      },
      removeCallback: (id) => rest.ask('DELETE', at('callbacks', id)),
    },
    keys: {
      list: async () => (await rest.ask<{ keys: KeyRow[] }>('GET', '/keys')).keys,
      show: (id) => rest.ask<KeyRow>('GET', at('keys', id)),
      create: (request) => rest.ask('POST', '/keys', { body: request }),
      edit: (id, changes) => rest.ask<KeyRow>('PATCH', at('keys', id), { body: changes, repeatable: true }),
      revoke: (id) => rest.ask('DELETE', at('keys', id)),
    },
    queues: {
      limitQueue: (queue, limits) =>
        rest.ask<QueueRow>('PATCH', at('queues', queue), { body: limits, repeatable: true }),
    },
    schedules: {
      async list({ limit = MOST } = {}) {
        const query = { limit: Math.min(MOST, limit) }
        return (await rest.ask<{ schedules: ScheduleRow[] }>('GET', '/schedules', { query })).schedules
      },
      show: (name) => rest.ask<ScheduleRow>('GET', at('schedules', name)),
      create: (request) => rest.ask<ScheduleRow>('POST', '/schedules', { body: request, repeatable: true }),
      edit: (name, changes, edition) =>
        rest.ask<ScheduleRow>('PATCH', at('schedules', name), {
          body: { ...changes, ...(edition === undefined ? {} : { edition }) },
        }),
      pause: (name, reason) => rest.ask<ScheduleRow>('POST', `${at('schedules', name)}/pause`, because(reason)),
      resume: (name, reason) => rest.ask<ScheduleRow>('POST', `${at('schedules', name)}/resume`, because(reason)),
      // Sent once: each time it arrives it makes a task.
      run: (name, reason) =>
        rest.ask<TaskRow>('POST', `${at('schedules', name)}/run`, { ...because(reason), repeatable: false }),
      remove: (name) => rest.ask('DELETE', at('schedules', name)),
      async preview({ every, ...timing }, count) {
        const query = { ...timing, ...(every === undefined ? {} : { every: `${milliseconds(every)}ms` }), count }
        return (await rest.ask<{ slots: string[] }>('GET', '/schedules/preview', { query: query as never })).slots
      },
    },
    upkeep: {
      retention: () => rest.ask<Retention>('GET', '/retention'),
      setRetention: (changes) => rest.ask<Retention>('PATCH', '/retention', { body: changes, repeatable: true }),
      prune: (request = {}) => rest.ask<Pruned>('POST', '/prune', { body: request, within: PRUNE_MS }),
    },
  }
}

const because = (reason: string | undefined): RestRequest => ({
  body: reason === undefined ? {} : { reason },
  repeatable: true,
})
