import { type CollectionName, FleetError } from '@taskfleet/protocol'
import { escapeRegex } from '../documents/plain.ts'
import type { Principal } from './key-store.ts'

type Doc = Record<string, unknown>

/** The part of a collection that a principal may see. */
export interface Bounds {
  /** In the compiled long form. */
  readonly filter: Readonly<Doc>
  /** Picks the part of a document that a row may show; by default, all of it. */
  readonly show?: (doc: Doc) => Doc
  /** Fields that must not be revealed, neither by a filter nor by the order of rows. */
  readonly hidden?: readonly string[]
}

/** The fields with a document's queue and task name, by collection. */
const REACH_FIELDS = {
  tasks: { queue: 'queue', name: 'name' },
  schedules: { queue: 'options.queue', name: 'task' },
} as const

/** The filter for what a key may see, in the compiled long form; undefined if it may see everything. */
export function visibleTo(
  principal: Principal,
  collection: keyof typeof REACH_FIELDS = 'tasks',
): Record<string, unknown> | undefined {
  const { queues, names } = principal
  const { queue, name } = REACH_FIELDS[collection]
  const bounds = {
    ...(queues === undefined ? {} : { [queue]: { $in: [...queues] } }),
    ...(names === undefined ? {} : { [name]: { $in: [...names] } }),
  }
  return Object.keys(bounds).length === 0 ? undefined : bounds
}

/**
 * The part of a collection that a key may see; undefined if it may see everything.
 *
 * @throws {FleetError} `FORBIDDEN` for a limited key if the documents have no queue
 */
export function boundsOf(principal: Principal, collection: CollectionName): Bounds | undefined {
  if (isUnlimited(principal)) return undefined
  switch (collection) {
    case 'tasks':
    case 'schedules':
      return { filter: visibleTo(principal, collection)! }
    case 'queues':
      // A queue's settings apply to all names, so keys that are limited to names don't see them.
      return { filter: { _id: { $in: principal.names === undefined ? [...principal.queues!] : [] } } }
    case 'workers':
      return workerBounds(principal)
    case 'events':
    case 'errors':
      throw new FleetError('FORBIDDEN', `A key that is limited to queues or names may not read ${collection}`, {
        field: 'collection',
      })
  }
}

/** Fields that reveal where a worker runs and what else it serves. */
const HIDDEN_OF_WORKERS = ['host', 'pid', 'url', 'boot', 'secretIds', 'disks', 'control', 'queues', 'tasks']

/** The workers that serve the key's queues and names, without their addresses. */
function workerBounds({ queues, names }: Principal): Bounds {
  const served = names?.map((name) => new RegExp(`^${escapeRegex(name)}@`))
  return {
    filter: {
      role: { $eq: 'worker' },
      ...(queues === undefined ? {} : { queues: { $in: [...queues] } }),
      ...(served === undefined ? {} : { $or: served.map((one) => ({ tasks: { $regex: one } })) }),
    },
    hidden: HIDDEN_OF_WORKERS,
    show: (worker) => ({
      ...Object.fromEntries(Object.entries(worker).filter(([field]) => !HIDDEN_OF_WORKERS.includes(field))),
      queues: texts(worker.queues).filter((queue) => queues?.includes(queue)),
      tasks: texts(worker.tasks).filter((task) => served?.some((one) => one.test(task)) !== false),
    }),
  }
}

const texts = (value: unknown): string[] =>
  Array.isArray(value) ? value.filter((one): one is string => typeof one === 'string') : []

/** Whether a key may see everything. */
export const isUnlimited = ({ queues, names }: Principal): boolean => queues === undefined && names === undefined

/** Whether a principal may see and change a task. */
export function reaches({ queues, names }: Principal, task: { queue: string; name: string }): boolean {
  return queues?.includes(task.queue) !== false && names?.includes(task.name) !== false
}

/** @throws {FleetError} `QUEUE_NOT_ALLOWED`, `NAME_NOT_ALLOWED` */
export function requireReach(principal: Principal, task: { queue: string; name: string }): void {
  if (principal.queues !== undefined && !principal.queues.includes(task.queue)) {
    throw new FleetError('QUEUE_NOT_ALLOWED', `This key may not use the queue '${task.queue}'`, { field: 'queue' })
  }
  if (principal.names !== undefined && !principal.names.includes(task.name)) {
    throw new FleetError('NAME_NOT_ALLOWED', `This key may not use tasks named '${task.name}'`, { field: 'name' })
  }
}

/** Rejects limited keys, for operations that belong to no single queue or name. @throws {FleetError} `FORBIDDEN` */
export function requireUnlimited(principal: Principal, deed: string): void {
  if (isUnlimited(principal)) return
  throw new FleetError('FORBIDDEN', `A key that is limited to queues or names may not ${deed}`)
}
