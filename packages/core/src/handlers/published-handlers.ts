import { createRequire } from 'node:module'
import type { StandardJSONSchemaV1, StandardSchemaV1 } from '@standard-schema/spec'
import { FleetError, type HandlerRow } from '@taskfleet/protocol'
import type { Ajv2020, ErrorObject, ValidateFunction } from 'ajv/dist/2020.js'
import type { mongo } from 'mongoose'
import { withStandIns } from '../task/secret-references.ts'
import { fromNow, NOW } from '../task/server-time.ts'
import type { WorkerDocument } from '../worker/worker-model.ts'
import type { WorkerRegister } from '../worker/worker-register.ts'

/** A handler as it is published for producers. */
export interface HandlerDocument {
  /** `name@version` */
  _id: string
  /** JSON Schema 2020-12 of its input, as text, because its keys begin with `$`. Absent if there is none. */
  schema?: string
  /** False for tasks that must not run a second time; otherwise absent. */
  replay?: false
  updatedAt: Date
  /** A live worker publishes it again before this date. */
  expireAt: Date
}

/** When a worker first published a version of a handler. */
interface VersionDocument {
  /** `name@version` */
  _id: string
  firstSeenAt: Date
  expireAt: Date
}

/** The part of a producer's request that concerns handlers. */
export interface Asked {
  name: string
  version: number
  queue: string
  input: unknown
}

/** How often a worker publishes its handlers, in milliseconds. */
export const PUBLISH_EVERY_MS = 3_600_000
const KEPT_MS = 3 * PUBLISH_EVERY_MS
const VERSIONS_KEPT_MS = 90 * 86_400_000
/** A larger schema is not published. The worker still checks the input. */
const MOST_BYTES = 65_536
/** Producers read the workers and their schemas at most this often. */
const LOOK_MS = 5_000
/** For an unserved name, producers read again after this time, since a worker may have started. */
const LOOK_AGAIN_MS = 500

/** Only a producer that has a published schema needs the validator, which loads 80 files. */
const require = createRequire(import.meta.url)

const AJV = { strict: false, validateFormats: false, logger: false } as const

/** `name@version` */
const TYPE = /^.+@\d+$/s

interface Known {
  at: number
  workers: readonly WorkerDocument[]
  checks: ReadonlyMap<string, Check>
  /** The tasks that must not run a second time. */
  once: ReadonlySet<string>
}

interface Check {
  schema: string
  validate: ValidateFunction
  /** As `first`, but reports all errors; compiled when needed. */
  all?: ValidateFunction
}

/**
 * The tasks that live workers serve, and the input schemas of their handlers. Workers publish the JSON Schema of each handler whose
 * schema library can make one (`~standard.jsonSchema`). Producers check inputs against it before they store a task.
 */
export class PublishedHandlers {
  readonly #handlers: mongo.Collection<HandlerDocument>
  readonly #versions: mongo.Collection<VersionDocument>
  readonly #workers: WorkerRegister
  #ajv: { first: Ajv2020; all: Ajv2020 } | undefined
  #known: Known | undefined
  #looking: Promise<Known> | undefined

  constructor(db: mongo.Db, workers: WorkerRegister) {
    this.#handlers = db.collection('handlers')
    this.#versions = db.collection('versions')
    this.#workers = workers
  }

  /**
   * Publishes the handlers of a worker, and drops those that no worker has published for long. When each version was seen for the first
   * time is kept for longer, because a fleet may stand still for a while.
   */
  async publish(
    types: readonly { name: string; version: number; input: StandardSchemaV1; replay?: boolean }[],
  ): Promise<void> {
    for (const { name, version, input, replay = true } of types) {
      const schema = jsonSchemaOf(input)
      if (schema === undefined && replay) continue
      const stored = {
        schema: schema === undefined ? '$$REMOVE' : { $literal: schema },
        replay: replay ? '$$REMOVE' : { $literal: false },
      }
      await this.#handlers.updateOne(
        { _id: `${name}@${version}` },
        [{ $set: { ...stored, updatedAt: NOW, expireAt: fromNow(KEPT_MS) } }],
        { upsert: true },
      )
    }
    const seen = { firstSeenAt: { $ifNull: ['$firstSeenAt', NOW] }, expireAt: fromNow(VERSIONS_KEPT_MS) }
    const versions = types.map(({ name, version }) => ({
      updateOne: { filter: { _id: `${name}@${version}` }, update: [{ $set: seen }], upsert: true },
    }))
    if (versions.length > 0) await this.#versions.bulkWrite(versions, { ordered: false })
    await this.#handlers.deleteMany({ $expr: { $lt: ['$expireAt', NOW] } })
  }

  /** What live workers can run, by name and version. */
  async list(): Promise<HandlerRow[]> {
    const { workers, checks, once } = await this.#look(LOOK_MS)
    const running = workers.filter(({ state }) => state === 'running')
    const types = new Set(running.flatMap(({ tasks }) => tasks.filter((type) => TYPE.test(type))))
    const versions = await this.#versions.find({ _id: { $in: [...types] } }).toArray()
    const firstSeen = new Map(versions.map(({ _id, firstSeenAt }) => [_id, firstSeenAt]))
    return [...types].sort().map((type) => {
      const serving = running.filter(({ tasks }) => tasks.includes(type))
      const at = type.lastIndexOf('@')
      const check = checks.get(type)
      return {
        name: type.slice(0, at),
        version: Number(type.slice(at + 1)),
        queues: [...new Set(serving.flatMap(({ queues }) => queues))].sort(),
        workers: [...new Set(serving.map((worker) => worker.name))].sort(),
        ...(firstSeen.get(type) instanceof Date && { firstSeenAt: firstSeen.get(type)!.toISOString() }),
        ...(once.has(type) && { replay: false as const }),
        ...(check !== undefined && { schema: JSON.parse(check.schema) as Record<string, unknown> }),
      }
    })
  }

  /**
   * Checks an input against the schema that a live worker has published for its name and version, if there is one.
   *
   * @throws {FleetError} `INPUT_INVALID` with the path of the first error
   */
  async check(asked: Asked): Promise<void> {
    const known = await this.#look(LOOK_MS)
    const type = `${asked.name}@${asked.version}`
    const check = known.checks.get(type)
    const faults = check === undefined ? [] : this.#faults(check, asked.input)
    if (faults.length === 0) return
    // The worker that published it may be gone, and another version may have replaced it.
    if (!known.workers.some((worker) => serves(worker, asked.name, asked.version))) return
    throw invalid(faults)
  }

  /** Whether a completed task of this name and version may run again, as far as is known. */
  async mayReplay({ name, version }: Pick<Asked, 'name' | 'version'>): Promise<boolean> {
    return !(await this.#look(LOOK_MS)).once.has(`${name}@${version}`)
  }

  /** Whether a live worker serves the queue and has a handler for the name and version. */
  async isServed({ name, version, queue }: Omit<Asked, 'input'>): Promise<boolean> {
    const served = ({ workers }: Known): boolean =>
      workers.some((worker) => worker.queues.includes(queue) && serves(worker, name, version))
    return served(await this.#look(LOOK_MS)) || served(await this.#look(LOOK_AGAIN_MS))
  }

  async #look(fresh: number): Promise<Known> {
    if (this.#known !== undefined && performance.now() - this.#known.at < fresh) return this.#known
    this.#looking ??= this.#read().finally(() => {
      this.#looking = undefined
    })
    return this.#looking
  }

  async #read(): Promise<Known> {
    const at = performance.now()
    const [workers, handlers] = await Promise.all([this.#workers.live(), this.#handlers.find().toArray()])
    const before = this.#known?.checks
    const checks = new Map<string, Check>()
    const once = new Set(handlers.filter(({ replay }) => replay === false).map(({ _id }) => _id))
    for (const { _id, schema } of handlers) {
      const known = before?.get(_id)
      const check = known?.schema === schema ? known : this.#compiled(schema)
      if (check !== undefined) checks.set(_id, check)
    }
    this.#known = { at, workers, checks, once }
    return this.#known
  }

  /** The errors of an input that don't depend on its secrets. A secret is a text; its other properties aren't known here. */
  #faults(check: Check, asked: unknown): ErrorObject[] {
    if (check.validate(asked)) return []
    const { input, at } = withStandIns(asked)
    if (input === asked) return check.validate.errors ?? []
    check.all ??= this.#validators.all.compile(JSON.parse(check.schema) as object)
    if (check.all(input)) return []
    const faults = check.all.errors ?? []
    return faults.filter(({ instancePath, keyword }) => keyword === 'type' || !at(pathOf(instancePath).join('/')))
  }

  get #validators(): { first: Ajv2020; all: Ajv2020 } {
    if (this.#ajv !== undefined) return this.#ajv
    const { Ajv2020: Validators } = require('ajv/dist/2020.js') as { Ajv2020: typeof Ajv2020 }
    this.#ajv = { first: new Validators(AJV), all: new Validators({ ...AJV, allErrors: true }) }
    return this.#ajv
  }

  /** Undefined for an invalid schema, which was changed by hand. */
  #compiled(schema: unknown): Check | undefined {
    try {
      if (typeof schema !== 'string') return undefined
      const parsed: unknown = JSON.parse(schema)
      return { schema, validate: this.#validators.first.compile(parsed as object) }
    } catch {
      return undefined
    }
  }
}

/** Whether a worker has a handler for this name and version. */
export const serves = (worker: WorkerDocument, name: string, version: number): boolean =>
  worker.state === 'running' && worker.tasks.includes(`${name}@${version}`)

/** Undefined if the schema's library can't make a JSON Schema of it. */
function jsonSchemaOf(input: StandardSchemaV1): string | undefined {
  const { jsonSchema } = input['~standard'] as Partial<StandardJSONSchemaV1.Props>
  try {
    const schema = JSON.stringify(jsonSchema?.input({ target: 'draft-2020-12' }))
    return schema !== undefined && Buffer.byteLength(schema) <= MOST_BYTES ? schema : undefined
  } catch {
    return undefined
  }
}

/** The parts of a JSON Pointer. */
const pathOf = (pointer: string): string[] =>
  pointer
    .split('/')
    .slice(1)
    .map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~'))

function invalid([fault]: readonly ErrorObject[]): FleetError {
  const { instancePath = '', message = 'does not fit', keyword, params = {} } = fault ?? {}
  const missing = keyword === 'required' ? [String((params as { missingProperty?: unknown }).missingProperty)] : []
  const extra =
    keyword === 'additionalProperties' ? [String((params as { additionalProperty?: unknown }).additionalProperty)] : []
  const field = ['input', ...pathOf(instancePath), ...missing, ...extra].join('.')
  return new FleetError('INPUT_INVALID', `'${field}': ${message}`, { field })
}
