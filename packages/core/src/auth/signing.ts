import {
  createHmac,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  randomBytes,
  sign,
  timingSafeEqual,
  verify,
} from 'node:crypto'
import { FleetError } from '@taskfleet/protocol'
import type { Logger } from 'pino'
import { driver } from '../database/driver.ts'

export const SIGNING_MODES = ['off', 'warn', 'required'] as const
/** How documents without a trusted signature are handled: accepted, accepted with a warning, or not run. */
export type SigningMode = (typeof SIGNING_MODES)[number]

/**
 * Proves who made a document and that it has not been changed since: `KEY:AT:NOT_BEFORE:SIGNATURE`. The dates are in milliseconds
 * since 1970; `NOT_BEFORE` may be empty. The signature is HMAC-SHA-256 or Ed25519 in base64url. It is a single text, because
 * writes get slower with each field of a document.
 */
export type Signature = string

interface Parts {
  /** The id of the key. */
  kid: string
  /** When it was signed, by the signer's clock. */
  at: Date
  /** A task may not begin before this date. */
  notBefore: Date | undefined
  sig: string
}

export interface SigningOptions {
  /** `off` by default; `warn` and `required` need trusted keys. */
  mode?: SigningMode
  /** Signs what this process stores: `hmac:ID:SECRET` or `ed25519:ID:PRIVATE`. */
  key?: string
  /** The keys whose signatures are valid, besides the own key: `hmac:ID:SECRET` or `ed25519-public:ID:PUBLIC`. */
  trusted?: readonly string[]
  log?: Pick<Logger, 'warn'> | undefined
}

type Kind = 'task' | 'schedule' | 'callback'
type Content = Readonly<Record<string, unknown>>

interface Key {
  id: string
  sign?(bytes: Buffer): Buffer
  verify(bytes: Buffer, signature: Buffer): boolean
}

const LEAST_SECRET_BYTES = 32
/**
 * The fields that a signature covers, by kind, without the fields that change while a task or schedule runs. The list must not
 * change: that would make all stored signatures invalid.
 */
const SIGNED: Record<Kind, readonly string[]> = {
  task: ['_id', 'name', 'version', 'queue', 'input', 'deadline', 'replayOf', 'schedule', 'event'],
  schedule: [
    '_id',
    'task',
    'version',
    'input',
    'options',
    'cron',
    'every',
    'timeZone',
    'startsAt',
    'endsAt',
    'missed',
    'overlap',
  ],
  callback: ['_id', 'event', 'task', 'version', 'defaults'],
}

/**
 * The options in `TASKFLEET_SIGNING`, `TASKFLEET_SIGNING_KEY`, and `TASKFLEET_TRUSTED_KEYS` (separated by commas).
 *
 * @throws {FleetError} `BAD_VALUE`
 */
export function signingFromEnv(env: NodeJS.ProcessEnv): SigningOptions {
  const { TASKFLEET_SIGNING: mode = 'off', TASKFLEET_SIGNING_KEY: key, TASKFLEET_TRUSTED_KEYS: trusted = '' } = env
  if (!SIGNING_MODES.includes(mode as SigningMode)) {
    throw new FleetError('BAD_VALUE', `TASKFLEET_SIGNING must be one of ${SIGNING_MODES.join(', ')}`)
  }
  return {
    mode: mode as SigningMode,
    ...(key === undefined || key === '' ? {} : { key }),
    trusted: trusted.split(',').filter((one) => one.trim() !== ''),
  }
}

/** Signs the documents that a process stores, and checks the ones that it runs. */
export class Signing {
  readonly mode: SigningMode
  readonly #key: Key | undefined
  readonly #trusted: ReadonlyMap<string, Key>
  readonly #log: SigningOptions['log']

  /** @throws {FleetError} `BAD_SIGNING_KEY`; `NO_TRUSTED_KEYS` */
  constructor({ mode = 'off', key, trusted = [], log }: SigningOptions = {}) {
    this.mode = mode
    this.#log = log
    this.#key = key === undefined ? undefined : parseKey(key)
    if (this.#key !== undefined && this.#key.sign === undefined) {
      throw badKey('a public key can not sign')
    }
    const keys = [...trusted.map(parseKey), ...(this.#key === undefined ? [] : [this.#key])]
    this.#trusted = new Map(keys.map((one) => [one.id, one]))
    if (mode !== 'off' && this.#trusted.size === 0) {
      throw new FleetError('NO_TRUSTED_KEYS', `Signing is '${mode}', but no key is trusted, so no task could run`)
    }
  }

  /** @throws {FleetError} as `signingFromEnv` and the constructor */
  static fromEnv(env: NodeJS.ProcessEnv, log?: SigningOptions['log']): Signing {
    return new Signing({ ...signingFromEnv(env), log })
  }

  get signs(): boolean {
    return this.#key !== undefined
  }

  /** Undefined if this process has no key. */
  sign(kind: Kind, content: Content, notBefore?: Date): Signature | undefined {
    if (this.#key?.sign === undefined) return undefined
    const { id: kid } = this.#key
    const at = new Date()
    const sig = this.#key.sign(bytesOf(kind, content, { kid, at, notBefore })).toString('base64url')
    return [kid, at.getTime(), notBefore?.getTime() ?? '', sig].join(':')
  }

  /** The signature as a document's field; empty if this process has no key. */
  field(kind: Kind, content: Content, notBefore?: Date): { signature?: Signature } {
    const signature = this.sign(kind, content, notBefore)
    return signature === undefined ? {} : { signature }
  }

  /** Why a document must not be used. In the mode `warn`, the reason is only logged. */
  refusal(kind: Kind, content: Content & { signature?: unknown }): FleetError | undefined {
    if (this.mode === 'off') return undefined
    const problem = this.problem(kind, content)
    if (problem === undefined || this.mode === 'required') return problem
    this.#log?.warn({ code: problem.code, [kind]: String(content._id) }, problem.message)
    return undefined
  }

  /**
   * A changed document's new signature. A document with an invalid signature is not signed again, because an edit must not
   * make it valid.
   *
   * @returns undefined if there is nothing to sign again
   */
  signAgain(
    kind: Kind,
    before: Content & { signature?: unknown },
    now: Content,
    notBefore?: Date,
  ): Signature | undefined {
    return this.problem(kind, before) === undefined ? this.sign(kind, now, notBefore) : undefined
  }

  /** Why a document is not trusted, in any mode. */
  problem(kind: Kind, content: Content & { signature?: unknown }): FleetError | undefined {
    if (content.signature === undefined || content.signature === null) {
      return new FleetError('UNSIGNED_TASK', `This ${kind} is not signed`)
    }
    const signature = partsOf(content.signature)
    if (signature === undefined) return badSignature(`The signature of this ${kind} can't be read`)
    const key = this.#trusted.get(signature.kid)
    if (key === undefined) return badSignature(`This ${kind} is signed with a key that is not trusted here`)
    if (!key.verify(bytesOf(kind, content, signature), Buffer.from(signature.sig, 'base64url'))) {
      return badSignature(`This ${kind} was changed after it was signed`)
    }
    const { runAt } = content
    if (signature.notBefore !== undefined && runAt instanceof Date && runAt < signature.notBefore) {
      return badSignature(`This ${kind} was brought forward after it was signed`)
    }
    return undefined
  }
}

const badSignature = (message: string): FleetError => new FleetError('BAD_SIGNATURE', message)
const badKey = (why: string): FleetError =>
  new FleetError('BAD_SIGNING_KEY', `This is not a signing key such as 'hmac:ID:SECRET': ${why}`)

/** Undefined if the value is not a signature. */
function partsOf(value: unknown): Parts | undefined {
  if (typeof value !== 'string') return undefined
  const [, kid, at, notBefore, sig] = /^([\w.-]{1,64}):(\d{1,15}):(-?\d{1,15}|):([\w-]+)$/.exec(value) ?? []
  if (kid === undefined || sig === undefined) return undefined
  return { kid, at: new Date(Number(at)), notBefore: notBefore === '' ? undefined : new Date(Number(notBefore)), sig }
}

/** The earliest start of a task by its signature. */
export const notBeforeOf = (signature: unknown): Date | undefined => partsOf(signature)?.notBefore

/** The signed bytes, as BSON: it keeps the order of fields and the types of values, so they are the same after a read. */
function bytesOf(kind: Kind, content: Content, { kid, at, notBefore }: Omit<Parts, 'sig'>): Buffer {
  const fields = Object.fromEntries(SIGNED[kind].map((name) => [name, content[name] ?? null]))
  return Buffer.from(driver.BSON.serialize({ kind, kid, at, notBefore: notBefore ?? null, ...fields }))
}

/** @throws {FleetError} `BAD_SIGNING_KEY` */
function parseKey(text: string): Key {
  const [, type, id, value] = /^(hmac|ed25519|ed25519-public):([\w.-]{1,64}):([A-Za-z0-9_-]+)$/.exec(text.trim()) ?? []
  if (type === undefined || id === undefined || value === undefined) {
    throw badKey('it must have the form hmac:ID:SECRET, ed25519:ID:PRIVATE or ed25519-public:ID:PUBLIC, in base64url')
  }
  const bytes = Buffer.from(value, 'base64url')
  if (type === 'hmac') return hmacKey(id, bytes)
  try {
    return type === 'ed25519'
      ? edwardsKey(id, createPrivateKey({ key: bytes, format: 'der', type: 'pkcs8' }))
      : edwardsKey(id, createPublicKey({ key: bytes, format: 'der', type: 'spki' }))
  } catch (error) {
    throw badKey((error as Error).message)
  }
}

function hmacKey(id: string, secret: Buffer): Key {
  if (secret.length < LEAST_SECRET_BYTES) throw badKey(`a secret must have at least ${LEAST_SECRET_BYTES} bytes`)
  const mac = (bytes: Buffer): Buffer => createHmac('sha256', secret).update(bytes).digest()
  return {
    id,
    sign: mac,
    verify: (bytes, signature) => {
      const own = mac(bytes)
      return signature.length === own.length && timingSafeEqual(own, signature)
    },
  }
}

function edwardsKey(id: string, key: KeyObject): Key {
  if (key.asymmetricKeyType !== 'ed25519') throw badKey('it is not an Ed25519 key')
  const known = key.type === 'private' ? createPublicKey(key) : key
  return {
    id,
    ...(key.type === 'private' ? { sign: (bytes: Buffer) => sign(null, bytes, key) } : {}),
    verify: (bytes, signature) => verify(null, bytes, known, signature),
  }
}

/**
 * A new key: the part that signs, and the part that verifies. For `hmac`, both are the same secret.
 *
 * @param id the id of the key, which signatures include
 */
export function newSigningKey(
  algorithm: 'hmac' | 'ed25519',
  id: string = randomBytes(4).toString('hex'),
): { key: string; trusted: string } {
  if (algorithm === 'hmac') {
    const key = `hmac:${id}:${randomBytes(LEAST_SECRET_BYTES).toString('base64url')}`
    return { key, trusted: key }
  }
  const { privateKey, publicKey } = generateKeyPairSync('ed25519')
  return {
    key: `ed25519:${id}:${privateKey.export({ format: 'der', type: 'pkcs8' }).toString('base64url')}`,
    trusted: `ed25519-public:${id}:${publicKey.export({ format: 'der', type: 'spki' }).toString('base64url')}`,
  }
}
