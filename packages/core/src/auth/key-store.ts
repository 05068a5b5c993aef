import { createHash, randomBytes, timingSafeEqual } from 'node:crypto'
import { FleetError, type KeyRow, type KeyState, SCOPES, type Scope } from '@taskfleet/protocol'
import { given } from '@taskfleet/protocol/internal'
import type { mongo } from 'mongoose'
import { DocumentGate } from '../documents/gate.ts'
import type { Stored } from '../documents/stored.ts'
import { parseDate } from '../task/parse-value.ts'

/** Who sends a request, and the rights of its key. */
export interface Principal {
  id: string
  scopes: readonly Scope[]
  /** Only tasks in these queues, when given. */
  queues?: readonly string[]
  /** Only tasks of these names, when given. */
  names?: readonly string[]
}

interface KeyDocument extends Omit<Stored<KeyRow, 'createdAt' | 'expiresAt' | 'revokedAt'>, 'id' | 'state'> {
  _id: string
  /** SHA-256 of the secret: 256 random bits need no slow hash. */
  hash: string
}

/** A key without the hash of its secret. */
export type KnownKey = Omit<KeyDocument, 'hash'>

/** Changes to a key. `null` removes a limit or the expiry date. */
export interface KeyChanges {
  name?: string
  scopes?: readonly Scope[]
  queues?: readonly string[] | null
  names?: readonly string[] | null
  expiresAt?: Date | null
}

const TOKEN = /^tf_([0-9a-f]{12})_([A-Za-z0-9_-]{43})$/

/** The keys of a fleet. Only hashes are stored; a token is shown once, when it is made. */
export class KeyStore {
  readonly #keys: mongo.Collection<KeyDocument>
  readonly #now: () => Date
  readonly #secrets: mongo.Collection<{ _id: string; value: string }>
  readonly #gate: DocumentGate

  /** @param now the server's time, which decides when a key has expired */
  constructor(db: mongo.Db, now: () => Date = () => new Date(), gate = new DocumentGate(db)) {
    this.#gate = gate
    this.#now = now
    this.#keys = db.collection('keys')
    this.#secrets = db.collection('secrets')
  }

  /**
   * @returns the token, which can't be read again
   * @throws {FleetError} `BAD_DATE`
   */
  async create(key: {
    name: string
    scopes: readonly Scope[]
    queues?: readonly string[]
    names?: readonly string[]
    expiresAt?: Date
  }): Promise<{
    id: string
    token: string
  }> {
    // An invalid date never comes, so the key would never expire.
    if (key.expiresAt !== undefined) parseDate(key.expiresAt, 'expiresAt')
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

  /** Whether the fleet is locked. Without any key it serves this computer only. */
  async anyKeys(): Promise<boolean> {
    return (await this.#keys.findOne({}, { projection: { _id: 1 } })) !== null
  }

  /** @throws {FleetError} `UNAUTHENTICATED`, the same for an unknown, wrong, revoked or expired key */
  async verify(token: unknown): Promise<Principal> {
    const refused = new FleetError('UNAUTHENTICATED', 'This key is not valid for this fleet')
    const [, id, secret] = (typeof token === 'string' && TOKEN.exec(token)) || []
    if (id === undefined || secret === undefined) throw refused
    const key = this.#gate.one('keys', await this.#keys.findOne({ _id: id }))
    // Compared even if there is no such key, so that the time reveals nothing.
    const same = timingSafeEqual(Buffer.from(sha256(secret)), Buffer.from(key?.hash ?? sha256('')))
    if (key === null || !same || this.stateOf(key) !== 'good') throw refused
    return principalOf(key)
  }

  /** The `secretHash` of every valid key. */
  async goodHashes(): Promise<Set<string>> {
    const shown = { hash: 1, revokedAt: 1, expiresAt: 1 } as const
    const keys = await this.#keys.find({ revokedAt: { $exists: false } }, { projection: shown }).toArray()
    return new Set(keys.filter((key) => this.stateOf(key) === 'good').map(({ hash }) => hash))
  }

  /** The current rights of these keys, without the ones that are no longer valid. */
  async principals(ids: readonly string[]): Promise<Map<string, Principal>> {
    const good = { _id: { $in: [...ids] }, revokedAt: { $exists: false } }
    const keys = this.#gate.all('keys', await this.#keys.find(good).toArray())
    return new Map(keys.filter((key) => this.stateOf(key) === 'good').map((key) => [key._id, principalOf(key)]))
  }

  stateOf({ revokedAt, expiresAt }: Pick<KnownKey, 'revokedAt' | 'expiresAt'>): KeyState {
    if (revokedAt !== undefined) return 'revoked'
    return expiresAt !== undefined && expiresAt <= this.#now() ? 'expired' : 'good'
  }

  async find(id: string): Promise<KnownKey | null> {
    const key = this.#gate.one('keys', await this.#keys.findOne({ _id: id }))
    return key === null ? null : withoutHash(key)
  }

  /**
   * Changes a key's rights from now on. Connections that it opened with other rights are closed within a second.
   *
   * @returns null if there is no such key, or if it is revoked
   */
  async edit(id: string, changes: KeyChanges): Promise<KnownKey | null> {
    const given = Object.entries(changes).filter(([, value]) => value !== undefined)
    const set = Object.fromEntries(given.filter(([, value]) => value !== null))
    const unset = Object.fromEntries(given.filter(([, value]) => value === null).map(([field]) => [field, 1 as const]))
    return this.#keys.findOneAndUpdate(
      { _id: id, revokedAt: { $exists: false } },
      {
        ...(Object.keys(set).length === 0 ? {} : { $set: set }),
        ...(Object.keys(unset).length === 0 ? {} : { $unset: unset }),
      },
      { returnDocument: 'after', projection: { hash: 0 } },
    )
  }

  /** Every key without the hash of its secret. */
  async list(): Promise<KnownKey[]> {
    return this.#gate.all('keys', await this.#keys.find().sort({ createdAt: 1 }).toArray()).map(withoutHash)
  }

  /** The key is invalid from now on. Its connections are closed within seconds. @returns false if there is no such key */
  async revoke(id: string): Promise<boolean> {
    const { matchedCount } = await this.#keys.updateOne({ _id: id }, { $set: { revokedAt: this.#now() } })
    return matchedCount === 1
  }

  /** The stored secret; undefined if no process has created it yet. */
  async storedTicketSecret(): Promise<Uint8Array | undefined> {
    const stored = await this.#secrets.findOne({ _id: 'tickets' })
    return typeof stored?.value === 'string' ? Buffer.from(stored.value, 'base64url') : undefined
  }

  /** The base of the keys that sign the fleet's tokens. The first process that needs it creates it. Without a secret it is the only base. */
  async ticketSecret(): Promise<Uint8Array> {
    const made = randomBytes(32).toString('base64url')
    const stored = await this.#secrets.findOneAndUpdate(
      { _id: 'tickets' },
      // A malformed secret is replaced, because it couldn't sign.
      [{ $set: { value: { $cond: [{ $eq: [{ $type: '$value' }, 'string'] }, '$value', { $literal: made }] } } }],
      { upsert: true, returnDocument: 'after' },
    )
    return Buffer.from(stored?.value ?? made, 'base64url')
  }
}

const withoutHash = ({ hash: _, ...key }: KeyDocument): KnownKey => key

function principalOf({ _id, scopes, queues, names }: KnownKey): Principal {
  return { id: _id, scopes, ...given({ queues, names }) }
}

/** Whether two keys have the same rights. */
export function sameRights(one: Principal, other: Principal): boolean {
  const same = (a: readonly string[] | undefined, b: readonly string[] | undefined): boolean =>
    a === undefined || b === undefined ? a === b : a.length === b.length && a.every((part) => b.includes(part))
  return same(one.scopes, other.scopes) && same(one.queues, other.queues) && same(one.names, other.names)
}

/** The stored hash of a token, or undefined if it is not a token. */
export function secretHash(token: unknown): string | undefined {
  const [, , secret] = (typeof token === 'string' && TOKEN.exec(token)) || []
  return secret === undefined ? undefined : sha256(secret)
}

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex')

/** @throws {FleetError} `FORBIDDEN`, with the missing scope */
export function requireScope(principal: Principal, scope: Scope): void {
  if (principal.scopes.includes(scope) || principal.scopes.includes('admin')) return
  throw new FleetError('FORBIDDEN', `This needs a key with the scope '${scope}'`, { field: scope })
}

/** Every user of this computer, while the fleet has no key. */
export const LOCAL: Principal = { id: 'local', scopes: [...SCOPES] }
