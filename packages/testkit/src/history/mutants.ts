import { setTimeout as sleep } from 'node:timers/promises'
import { taskModel, workerModel } from '@taskfleet/core'
import type { Connection, mongo } from 'mongoose'
import { mapDeep } from '../map-deep.ts'

type Write = { filter: mongo.Document; update: mongo.Document[] }
type Tasks = mongo.Collection<mongo.Document>

/** How a mutated store differs from the real one. */
export interface Mutant {
  says: string
  /** Changes a write to a task. */
  task?: (write: Write, tasks: Tasks) => Promise<Write> | Write
  /** Changes a write to a session. */
  session?: (write: Write) => Write
}

/** How long a reaper that reads and then writes takes in between. */
const GAP_MS = 25
const HOUR_MS = 3_600_000

const isReap = ({ update }: Write): boolean => JSON.stringify(update).includes('"outcome":"lost"')

/** The write without some fields. */
const without = ({ filter, update }: Write, isOut: (field: string, holder: object) => boolean): Write => ({
  filter,
  update: mapDeep(update, undefined, (field, holder) => !isOut(field, holder)) as mongo.Document[],
})

/** The bugs that the checkers must find. Each is a mistake that could be made in the store. */
export const MUTANTS: readonly Mutant[] = [
  {
    says: 'the guard without the lease',
    task: ({ filter, update }) => {
      const { 'lease.id': _, ...rest } = filter
      return { filter: rest, update }
    },
  },
  {
    says: 'a claim that does not count the attempt',
    task: (write) => without(write, (field, holder) => field === 'attempt' && 'lease' in holder),
  },
  {
    says: 'a reaper that reads, and then writes by id',
    task: async (write) => {
      if (!isReap(write)) return write
      await sleep(GAP_MS)
      return { filter: { _id: write.filter._id }, update: write.update }
    },
  },
  {
    says: 'a reaper that reads its own clock',
    session: ({ filter, update }) => {
      if (!JSON.stringify(update).includes('"dead"')) return { filter, update }
      const ahead = new Date(Date.now() + HOUR_MS)
      return { filter, update: mapDeep(update, (part) => (part === '$$NOW' ? ahead : part)) as mongo.Document[] }
    },
  },
  {
    says: 'a write that does not raise the revision',
    task: (write) => without(write, (field, holder) => field === 'rev' && 'updatedAt' in holder),
  },
  {
    says: 'a reaper that takes all tasks of a session, whatever their state',
    task: async (write, tasks) => {
      if (!isReap(write)) return write
      const seen = await tasks.findOne({ _id: write.filter._id })
      const worker = (seen?.attempts as { worker: string }[] | undefined)?.at(-1)?.worker
      await tasks.updateMany({ 'attempts.worker': worker }, write.update)
      return write
    },
  },
]

/** A connection whose writes are those of a mutant. */
export function mutated(connection: Connection, { task, session }: Mutant): Connection {
  const tasks = taskModel(connection).collection as unknown as Tasks
  const workers = workerModel(connection).collection as unknown as Tasks
  const models = {
    Task: { collection: task === undefined ? tasks : rewriting(tasks, async (write) => task(write, tasks)) },
    Worker: { collection: session === undefined ? workers : rewriting(workers, async (write) => session(write)) },
  }
  return new Proxy(connection, {
    get: (real, name) => (name === 'models' ? models : bound(real, name)),
  })
}

const bound = (real: object, name: string | symbol): unknown => {
  const value: unknown = Reflect.get(real, name)
  return typeof value === 'function' ? value.bind(real) : value
}

function rewriting(real: Tasks, rewrite: (write: Write) => Promise<Write>): Tasks {
  const one =
    (name: 'findOneAndUpdate' | 'updateOne' | 'updateMany') =>
    async (...args: unknown[]) => {
      const [filter, update, options] = args as [mongo.Document, mongo.Document[], object]
      const write = await rewrite({ filter, update })
      return (real[name] as (...args: unknown[]) => unknown).call(real, write.filter, write.update, options)
    }
  const bulkWrite = async (operations: { updateOne?: Write & { upsert?: boolean } }[], options: object) => {
    const written = operations.map(async ({ updateOne, ...rest }) =>
      updateOne === undefined ? rest : { updateOne: { ...updateOne, ...(await rewrite(updateOne)) } },
    )
    return real.bulkWrite((await Promise.all(written)) as never, options)
  }
  const own: Record<string | symbol, unknown> = {
    findOneAndUpdate: one('findOneAndUpdate'),
    updateOne: one('updateOne'),
    updateMany: one('updateMany'),
    bulkWrite,
  }
  return new Proxy(real, { get: (collection, name) => own[name] ?? bound(collection, name) })
}
