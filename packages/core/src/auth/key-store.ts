import { createHash, randomBytes, timingSafeEqual } from 'node:crypto'
import type { mongo } from 'mongoose'
import { FleetError } from '../errors.ts'

export const SCOPES = ['read', 'write', 'control', 'worker', 'admin'] as const
export type Scope = (typeof SCOPES)[number]

/** Who asks, and what they may. */
export interface Principal {
  id: string
  scopes: readonly Scope[]
  /** Only tasks in these queues, when given. */
  queues?: readonly string[]
  /** Only tasks of these names, when given. */
  names?: readonly string[]
}

interface KeyDocument {
  _id: string
  name: string
  /** SHA-256 of the secret: 256 random bits need no slow hash. */
  hash: string
  scopes: Scope[]
  queues?: string[]
  names?: string[]
  createdAt: Date
  expiresAt?: Date
  revokedAt?: Date
}

const TOKEN = /^tf_([0-9a-f]{12})_([A-Za-z0-9_-]{43})$/

/** The keys of a fleet. Only hashes are stored; a token is shown once, when it is made. */
export class KeyStore {
  readonly #keys: mongo.Collection<KeyDocument>
  readonly #now: () => Date
  readonly #secrets: mongo.Collection<{ _id: string; value: string }>

  /** @param now the server's time, which decides when a key has expired */
  constructor(db: mongo.Db, now: () => Date = () => new Date()) {
    this.#now = now
    this.#keys = db.collection('keys')
    this.#secrets = db.collection('secrets')
  }

  /** @returns the token, which can't be read again */
  async create(key: {
    name: string
    scopes: readonly Scope[]
    queues?: string[]
    names?: string[]
    expiresAt?: Date
  }): Promise<{
    id: string
    token: string
  }> {
    const id = randomBytes(6).toString('hex')
    const secret = randomBytes(32).toString('base64url')
    await this.#keys.insertOne({
      _id: id,
      ...key,
      scopes: [...key.scopes],
      hash: sha256(secret),
      createdAt: this.#now(),
    })
    return { id, token: `tf_${id}_${secret}` }
  }

  /** Whether the fleet is locked: with no key at all it serves this computer only. */
  async anyKeys(): Promise<boolean> {
    return (await this.#keys.findOne({}, { projection: { _id: 1 } })) !== null
  }

  /** @throws {FleetError} `UNAUTHENTICATED`, the same for an unknown, wrong, revoked or expired key */
  async verify(token: unknown): Promise<Principal> {
    const refused = new FleetError('UNAUTHENTICATED', 'This key is not known here')
    const [, id, secret] = (typeof token === 'string' && TOKEN.exec(token)) || []
    if (id === undefined || secret === undefined) throw refused
    const key = await this.#keys.findOne({ _id: id })
    // Compared even when there is no such key, so that the time says nothing.
    const same = timingSafeEqual(Buffer.from(sha256(secret)), Buffer.from(key?.hash ?? sha256('')))
    const expired = key?.expiresAt !== undefined && key.expiresAt <= this.#now()
    if (key === null || !same || key.revokedAt !== undefined || expired) throw refused
    const { scopes, queues, names } = key
    return { id, scopes, ...(queues === undefined ? {} : { queues }), ...(names === undefined ? {} : { names }) }
  }

  /** Which of these keys may still be used. */
  async valid(ids: readonly string[]): Promise<Set<string>> {
    const good = { _id: { $in: [...ids] }, revokedAt: { $exists: false } }
    const keys = await this.#keys.find(good, { projection: { expiresAt: 1 } }).toArray()
    const now = this.#now()
    return new Set(keys.filter(({ expiresAt }) => expiresAt === undefined || expiresAt > now).map(({ _id }) => _id))
  }

  /** Every key without what would prove it. */
  async list(): Promise<Omit<KeyDocument, 'hash'>[]> {
    return this.#keys
      .find({}, { projection: { hash: 0 } })
      .sort({ createdAt: 1 })
      .toArray()
  }

  /** From now on the key opens nothing, and what it has opened is closed within seconds. @returns false when there is none */
  async revoke(id: string): Promise<boolean> {
    const { matchedCount } = await this.#keys.updateOne({ _id: id }, { $set: { revokedAt: this.#now() } })
    return matchedCount === 1
  }

  /** The secret that signs the fleet's short-lived tickets, made by whoever needs it first. */
  async ticketSecret(): Promise<Uint8Array> {
    const made = randomBytes(32).toString('base64url')
    const stored = await this.#secrets.findOneAndUpdate(
      { _id: 'tickets' },
      { $setOnInsert: { value: made } },
      { upsert: true, returnDocument: 'after' },
    )
    return Buffer.from(stored?.value ?? made, 'base64url')
  }
}

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex')

/** @throws {FleetError} `FORBIDDEN`, naming the scope that is missing */
export function requireScope(principal: Principal, scope: Scope): void {
  if (principal.scopes.includes(scope) || principal.scopes.includes('admin')) return
  throw new FleetError('FORBIDDEN', `This needs a key with the scope '${scope}'`, { field: scope })
}

/** The filter that bounds what a key may see, in the compiled long form; undefined for everything. */
export function visibleTo(principal: Principal): Record<string, unknown> | undefined {
  const { queues, names } = principal
  if (queues === undefined && names === undefined) return undefined
  return {
    ...(queues === undefined ? {} : { queue: { $in: [...queues] } }),
    ...(names === undefined ? {} : { name: { $in: [...names] } }),
  }
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

/** Everybody on this computer, while the fleet has no key. */
export const LOCAL: Principal = { id: 'local', scopes: [...SCOPES] }
