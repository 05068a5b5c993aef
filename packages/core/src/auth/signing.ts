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
import { mongo } from 'mongoose'
import type { Logger } from 'pino'

export const SIGNING_MODES = ['off', 'warn', 'required'] as const
/** What becomes of what nobody trusted has signed: nothing, a warning, or it isn't run. */
export type SigningMode = (typeof SIGNING_MODES)[number]

/**
 * Proves who has made a document, and that nobody has changed it since: `KEY:AT:NOT_BEFORE:SIGNATURE`. The dates are in milliseconds since
 * 1970, of which the second may be missing; the signature is HMAC-SHA-256 or Ed25519 in base64url. It is one text, since each write of a
 * document costs the more the more fields the document has.
 */
export type Signature = string

interface Parts {
  /** The id of the key. */
  kid: string
  /** When it was signed, by the signer's clock. */
  at: Date
  /** A task may not begin before. */
  notBefore: Date | undefined
  sig: string
}

export interface SigningOptions {
  /** `off` by default; `warn` and `required` need trusted keys. */
  mode?: SigningMode
  /** Signs what this process stores: `hmac:ID:SECRET` or `ed25519:ID:PRIVATE`. */
  key?: string
  /** Whose signatures are good: `hmac:ID:SECRET` or `ed25519-public:ID:PUBLIC`, besides the own key. */
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
 * The fields that a signature covers, by kind, without those that change while a task or schedule is carried out. Written out here: another
 * list makes every signature invalid that is stored.
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
 * The options in `TASKFLEET_SIGNING`, `TASKFLEET_SIGNING_KEY`, and `TASKFLEET_TRUSTED_KEYS` with commas between the keys.
 *
 * @throws {FleetError} `BAD_VALUE`
 */
export function signingFromEnv(env: NodeJS.ProcessEnv): SigningOptions {
  const { TASKFLEET_SIGNING: mode = 'off', TASKFLEET_SIGNING_KEY: key, TASKFLEET_TRUSTED_KEYS: trusted = '' } = env
  if (!SIGNING_MODES.includes(mode as SigningMode)) {
    throw new FleetError('BAD_VALUE', `TASKFLEET_SIGNING is one of ${SIGNING_MODES.join(', ')}`)
  }
  return {
    mode: mode as SigningMode,
    ...(key === undefined || key === '' ? {} : { key }),
    trusted: trusted.split(',').filter((one) => one.trim() !== ''),
  }
}

/** Signs what a process stores, and checks what it is to run. */
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
      throw badKey('a public key signs nothing')
    }
    const keys = [...trusted.map(parseKey), ...(this.#key === undefined ? [] : [this.#key])]
    this.#trusted = new Map(keys.map((one) => [one.id, one]))
    if (mode !== 'off' && this.#trusted.size === 0) {
      throw new FleetError('NO_TRUSTED_KEYS', `Signing is '${mode}', and no key is trusted: nothing would run`)
    }
  }

  /** @throws {FleetError} as `signingFromEnv` and the constructor */
  static fromEnv(env: NodeJS.ProcessEnv, log?: SigningOptions['log']): Signing {
    return new Signing({ ...signingFromEnv(env), log })
  }

  get signs(): boolean {
    return this.#key !== undefined
  }

  /** Undefined where this process has no key. */
  sign(kind: Kind, content: Content, notBefore?: Date): Signature | undefined {
    if (this.#key?.sign === undefined) return undefined
    const { id: kid } = this.#key
    const at = new Date()
    const sig = this.#key.sign(bytesOf(kind, content, { kid, at, notBefore })).toString('base64url')
    return [kid, at.getTime(), notBefore?.getTime() ?? '', sig].join(':')
  }

  /** The same as the field of a document; nothing where this process has no key. */
  field(kind: Kind, content: Content, notBefore?: Date): { signature?: Signature } {
    const signature = this.sign(kind, content, notBefore)
    return signature === undefined ? {} : { signature }
  }

  /** Why a document is not to be used; while the mode is `warn`, that is only logged. */
  refusal(kind: Kind, content: Content & { signature?: unknown }): FleetError | undefined {
    if (this.mode === 'off') return undefined
    const problem = this.problem(kind, content)
    if (problem === undefined || this.mode === 'required') return problem
    this.#log?.warn({ code: problem.code, [kind]: String(content._id) }, problem.message)
    return undefined
  }

  /**
   * A changed document's new signature. What was not good before stays as it is: an edit must not make it so.
   *
   * @returns undefined where there is nothing to sign again
   */
  signAgain(
    kind: Kind,
    before: Content & { signature?: unknown },
    now: Content,
    notBefore?: Date,
  ): Signature | undefined {
    return this.problem(kind, before) === undefined ? this.sign(kind, now, notBefore) : undefined
  }

  /** Why a document is not to be trusted, whatever the mode. */
  problem(kind: Kind, content: Content & { signature?: unknown }): FleetError | undefined {
    if (content.signature === undefined || content.signature === null) {
      return new FleetError('UNSIGNED_TASK', `Nobody has signed this ${kind}`)
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
  new FleetError('BAD_SIGNING_KEY', `This is no signing key, such as 'hmac:ID:SECRET': ${why}`)

/** Undefined for what is no signature. */
function partsOf(value: unknown): Parts | undefined {
  if (typeof value !== 'string') return undefined
  const [, kid, at, notBefore, sig] = /^([\w.-]{1,64}):(\d{1,15}):(-?\d{1,15}|):([\w-]+)$/.exec(value) ?? []
  if (kid === undefined || sig === undefined) return undefined
  return { kid, at: new Date(Number(at)), notBefore: notBefore === '' ? undefined : new Date(Number(notBefore)), sig }
}

/** Before when a task may not begin, by its signature. */
export const notBeforeOf = (signature: unknown): Date | undefined => partsOf(signature)?.notBefore

/** BSON keeps the order of fields and the types of values, and a document comes back from the database as it went in. */
function bytesOf(kind: Kind, content: Content, { kid, at, notBefore }: Omit<Parts, 'sig'>): Buffer {
  const fields = Object.fromEntries(SIGNED[kind].map((name) => [name, content[name] ?? null]))
  return Buffer.from(mongo.BSON.serialize({ kind, kid, at, notBefore: notBefore ?? null, ...fields }))
}

/** @throws {FleetError} `BAD_SIGNING_KEY` */
function parseKey(text: string): Key {
  const [, type, id, value] = /^(hmac|ed25519|ed25519-public):([\w.-]{1,64}):([A-Za-z0-9_-]+)$/.exec(text.trim()) ?? []
  if (type === undefined || id === undefined || value === undefined) {
    throw badKey('it has the form hmac:ID:SECRET, ed25519:ID:PRIVATE or ed25519-public:ID:PUBLIC, in base64url')
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
  if (secret.length < LEAST_SECRET_BYTES) throw badKey(`a secret has at least ${LEAST_SECRET_BYTES} bytes`)
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
  if (key.asymmetricKeyType !== 'ed25519') throw badKey('it is of another kind than Ed25519')
  const known = key.type === 'private' ? createPublicKey(key) : key
  return {
    id,
    ...(key.type === 'private' ? { sign: (bytes: Buffer) => sign(null, bytes, key) } : {}),
    verify: (bytes, signature) => verify(null, bytes, known, signature),
  }
}

/**
 * A new key: what signs with it, and what trusts it. Of `hmac` both are the same secret.
 *
 * @param id which key it is: signatures name it
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
