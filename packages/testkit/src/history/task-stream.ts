import type { TaskDocument } from '@taskfleet/core'
import type { mongo } from 'mongoose'
import { mapDeep } from '../map-deep.ts'

/** A task as one write left it; null when it was removed. */
export interface Step {
  id: string
  task: TaskDocument | null
}

type OnStep = (id: string, before: TaskDocument | undefined, now: TaskDocument | null) => void

/**
 * The database's own record: every write to a task in order, with the resulting task. The changes of an
 * event are applied to the state before, since a look-up would return a later state.
 */
export class TaskStream {
  readonly steps: Step[] = []
  readonly faults: string[] = []
  readonly #onStep: OnStep
  readonly #stream: mongo.ChangeStream<TaskDocument>
  readonly #now = new Map<string, TaskDocument>()
  readonly #following: Promise<void>
  #closed = false

  private constructor(stream: mongo.ChangeStream<TaskDocument>, onStep: OnStep) {
    this.#stream = stream
    this.#onStep = onStep
    this.#following = this.#follow()
  }

  /** Resolves when it gets every write from then on. */
  static async open(db: mongo.Db, onStep: OnStep = () => undefined): Promise<TaskStream> {
    const stream = db.collection<TaskDocument>('tasks').watch([], { maxAwaitTimeMS: 200 })
    // `watch()` sends nothing by itself.
    if ((await stream.tryNext()) !== null) throw new Error('the stream is opened before anything is written')
    return new TaskStream(stream, onStep)
  }

  /** The latest state of all tasks. */
  get tasks(): ReadonlyMap<string, TaskDocument> {
    return this.#now
  }

  /** Whether its latest state is this one. */
  knows({ _id, rev }: Pick<TaskDocument, '_id' | 'rev'>): boolean {
    return (this.#now.get(String(_id))?.rev ?? 0) >= rev
  }

  async close(): Promise<void> {
    this.#closed = true
    await this.#stream.close()
    await this.#following
  }

  async #follow(): Promise<void> {
    try {
      for await (const event of this.#stream) this.#receive(event)
    } catch (error) {
      if (!this.#closed) this.faults.push(`the stream ended: ${String(error)}`)
    }
  }

  #receive(event: mongo.ChangeStreamDocument<TaskDocument>): void {
    if (!('documentKey' in event)) return void this.faults.push(`unexpected: ${event.operationType}`)
    const id = String(event.documentKey._id)
    const before = this.#now.get(id)
    const task = after(before, event)
    if (task === null) this.#now.delete(id)
    else this.#now.set(id, task)
    this.steps.push({ id, task })
    this.#onStep(id, before, task)
  }
}

function after(before: TaskDocument | undefined, event: mongo.ChangeStreamDocument<TaskDocument>): TaskDocument | null {
  if (event.operationType === 'insert' || event.operationType === 'replace') return event.fullDocument
  if (event.operationType !== 'update') return null
  const { updatedFields = {}, removedFields = [], truncatedArrays = [] } = event.updateDescription
  const task = mapDeep(before ?? {}) as Record<string, unknown>
  for (const { field, newSize } of truncatedArrays) (place(task, field).get() as unknown[]).length = newSize
  for (const [path, value] of Object.entries(updatedFields)) place(task, path).set(value)
  for (const path of removedFields) place(task, path).remove()
  return task as unknown as TaskDocument
}

/** The value at a dotted path. */
function place(task: Record<string, unknown>, path: string) {
  const names = path.split('.')
  const last = names.pop()!
  const holder = names.reduce((inner, name) => inner[name] as Record<string, unknown>, task)
  return {
    get: (): unknown => holder[last],
    set: (value: unknown): void => {
      holder[last] = value
    },
    remove: (): boolean => delete holder[last],
  }
}
