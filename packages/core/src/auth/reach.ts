import { type CollectionName, FleetError } from '@taskfleet/protocol'
import { escapeRegex } from '../documents/plain.ts'
import type { Principal } from './key-store.ts'

type Doc = Record<string, unknown>

/** What somebody may see of a collection. */
export interface Bounds {
  /** In the compiled long form. */
  readonly filter: Readonly<Doc>
  /** What a row shows of a document; all of it without. */
  readonly show?: (doc: Doc) => Doc
  /** Fields that nothing may be learnt of: neither by a filter nor by the order of rows. */
  readonly hidden?: readonly string[]
}

/** Where documents say which queue they are of, and which task. */
const REACH_FIELDS = {
  tasks: { queue: 'queue', name: 'name' },
  schedules: { queue: 'options.queue', name: 'task' },
} as const

/** The filter that bounds what a key may see, in the compiled long form; undefined for everything. */
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
 * What a key may see of a collection; undefined for everything.
 *
 * @throws {FleetError} `FORBIDDEN` for a limited key where documents don't say which queue they are of
 */
export function boundsOf(principal: Principal, collection: CollectionName): Bounds | undefined {
  if (isUnlimited(principal)) return undefined
  switch (collection) {
    case 'tasks':
    case 'schedules':
      return { filter: visibleTo(principal, collection)! }
    case 'queues':
      // What is set for a queue is for all its names.
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

/** Where a worker runs, and whom it serves besides. */
const HIDDEN_OF_WORKERS = ['host', 'pid', 'url', 'boot', 'secretIds', 'control', 'queues', 'tasks']

/** Workers that serve what the key may reach, without their address. */
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

const isUnlimited = ({ queues, names }: Principal): boolean => queues === undefined && names === undefined

/** Whether somebody may see and touch a task. */
export function reaches({ queues, names }: Principal, task: { queue: string; name: string }): boolean {
  return queues?.includes(task.queue) !== false && names?.includes(task.name) !== false
}

/** @throws {FleetError} `QUEUE_NOT_ALLOWED`, `NAME_NOT_ALLOWED` */
export function requireReach(principal: Principal, task: { queue: string; name: string }): void {
  if (principal.queues !== undefined && !principal.queues.includes(task.queue)) {
    throw new FleetError('QUEUE_NOT_ALLOWED', `This key may not touch the queue '${task.queue}'`, { field: 'queue' })
  }
  if (principal.names !== undefined && !principal.names.includes(task.name)) {
    throw new FleetError('NAME_NOT_ALLOWED', `This key may not touch tasks named '${task.name}'`, { field: 'name' })
  }
}

/** What is not of one queue or name is not for keys that are limited to some. @throws {FleetError} `FORBIDDEN` */
export function requireUnlimited(principal: Principal, deed: string): void {
  if (isUnlimited(principal)) return
  throw new FleetError('FORBIDDEN', `A key that is limited to queues or names may not ${deed}`)
}
