import {
  createHmac,
  createPrivateKey,
  createPublicKey,
  createSecretKey,
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
import { leafOf, MOST_LEAVES, type TreePath, TreeVerifier, treeOf } from './signature-tree.ts'

export const SIGNING_MODES = ['off', 'warn', 'required'] as const
/** How documents without a trusted signature are handled: accepted, accepted with a warning, or not run. */
export type SigningMode = (typeof SIGNING_MODES)[number]

/**
 * Proves who made a document and that it has not been changed since: `KEY:AT:NOT_BEFORE:SIGNATURE`. The dates are in milliseconds
 * since 1970; `NOT_BEFORE` may be empty. The signature is HMAC-SHA-256 or Ed25519 in base64url. It is a single text, because
 * writes get slower with each field of a document.
 *
 * Documents that were signed together with an `ed25519-batch` key share the signature over the root of a hash tree
 * (`signature-tree.ts`), followed by `:SIDES:HASHES`, the document's path to that root: `TreePath` as a number and in base64url.
 */
export type Signature = string

interface Parts {
  /** The id of the key. */
  kid: string
  /** When it was signed, by the signer's clock. */
  at: Date
  /** A task may not begin before this date. */
  notBefore: Date | undefined
  /** In base64url. */
  sig: string
  /** Undefined if the document was signed alone. */
  path?: TreePath
}

export interface SigningOptions {
  /** `off` by default; `warn` and `required` need trusted keys. */
  mode?: SigningMode
  /**
   * Signs what this process stores: `hmac:ID:SECRET`, `ed25519:ID:PRIVATE` or `ed25519-batch:ID:PRIVATE`. With `ed25519-batch`, up to 64
   * tasks that are stored together share one signature, which a worker verifies once. Workers before this version don't accept it.
   */
  key?: string
  /** The keys whose signatures are valid, besides the own key: `hmac:ID:SECRET` or `ed25519-public:ID:PUBLIC`. */
  trusted?: readonly string[]
  log?: Pick<Logger, 'warn'> | undefined
}

type Kind = 'task' | 'schedule' | 'callback'
/** A task, a schedule or a callback. */
type Content = { readonly [name in '_id' | 'runAt' | 'signature' | SignedField]?: unknown }

interface Key {
  id: string
  sign?(bytes: Buffer): Buffer
  verify(bytes: Buffer, signature: Buffer): boolean
  /** Whether documents that are signed together share a signature. */
  signsTrees: boolean
  /** Whether a shared signature is accepted. HMAC needs none, because it costs no more than a path. */
  verifiesTrees: boolean
}

/**
 * What is signed for a tree, followed by its root. A document signed alone is BSON and begins with its length, which is never that
 * of these four letters, so neither can be presented as the other.
 */
const TREE_PREFIX = Buffer.from('taskfleet signature tree 1\0')

const LEAST_SECRET_BYTES = 32
/**
 * The fields that a signature covers, by kind, without the fields that change while a task or schedule runs. The list must not
 * change: that would make all stored signatures invalid.
 */
const SIGNED = {
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
} as const satisfies Record<Kind, readonly string[]>
type SignedField = (typeof SIGNED)[Kind][number]

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
  readonly #trees = new TreeVerifier()

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
    return this.signAll(kind, [{ content, notBefore }])[0]
  }

  /** The signatures of documents that are stored together, in their order. Undefined if this process has no key. */
  signAll(
    kind: Kind,
    documents: readonly { content: Content; notBefore: Date | undefined }[],
  ): (Signature | undefined)[] {
    const key = this.#key
    if (key?.sign === undefined) return documents.map(() => undefined)
    const { id: kid, signsTrees } = key
    const at = new Date()
    const all = documents.map(({ content, notBefore }) => ({
      head: [kid, at.getTime(), notBefore?.getTime() ?? ''].join(':'),
      bytes: bytesOf(kind, content, { kid, at, notBefore }),
    }))
    const sign = (bytes: Buffer): string => key.sign!(bytes).toString('base64url')
    const trees = signsTrees ? groupsOf(all, MOST_LEAVES) : all.map((one) => [one])
    return trees.flatMap((tree) => {
      if (tree.length === 1) return tree.map(({ head, bytes }) => `${head}:${sign(bytes)}`)
      const { root, paths } = treeOf(tree.map(({ bytes }) => leafOf(bytes)))
      const sig = sign(Buffer.concat([TREE_PREFIX, root]))
      return tree.map(({ head }, index) => {
        const { sides, hashes } = paths[index]!
        return `${head}:${sig}:${sides}:${hashes.toString('base64url')}`
      })
    })
  }

  /** The signature as a document's field; empty if this process has no key. */
  field(kind: Kind, content: Content, notBefore?: Date): { signature?: Signature } {
    const signature = this.sign(kind, content, notBefore)
    return signature === undefined ? {} : { signature }
  }

  /** Why a document must not be used. In the mode `warn`, the reason is only logged. */
  refusal(kind: Kind, content: Content): FleetError | undefined {
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
  signAgain(kind: Kind, before: Content, now: Content, notBefore?: Date): Signature | undefined {
    return this.problem(kind, before) === undefined ? this.sign(kind, now, notBefore) : undefined
  }

  /** Why a document is not trusted, in any mode. */
  problem(kind: Kind, content: Content): FleetError | undefined {
    if (content.signature === undefined || content.signature === null) {
      return new FleetError('UNSIGNED_TASK', `This ${kind} is not signed`)
    }
    const signature = partsOf(content.signature)
    if (signature === undefined) return badSignature(`The signature of this ${kind} can't be read`)
    const key = this.#trusted.get(signature.kid)
    if (key === undefined) return badSignature(`This ${kind} is signed with a key that is not trusted here`)
    if (!this.#verifies(key, bytesOf(kind, content, signature), signature)) {
      return badSignature(`This ${kind} was changed after it was signed`)
    }
    const { runAt } = content
    if (signature.notBefore !== undefined && runAt instanceof Date && runAt < signature.notBefore) {
      return badSignature(`This ${kind} was brought forward after it was signed`)
    }
    return undefined
  }

  #verifies(key: Key, bytes: Buffer, { sig, path }: Parts): boolean {
    const signature = Buffer.from(sig, 'base64url')
    if (path === undefined) return key.verify(bytes, signature)
    if (!key.verifiesTrees) return false
    return this.#trees.verify(leafOf(bytes), path, `${key.id}:${sig}`, (root) =>
      key.verify(Buffer.concat([TREE_PREFIX, root]), signature),
    )
  }
}

function groupsOf<T>(all: readonly T[], size: number): T[][] {
  return Array.from({ length: Math.ceil(all.length / size) }, (_, index) => all.slice(index * size, (index + 1) * size))
}

const badSignature = (message: string): FleetError => new FleetError('BAD_SIGNATURE', message)
const badKey = (why: string): FleetError =>
  new FleetError('BAD_SIGNING_KEY', `This is not a signing key such as 'hmac:ID:SECRET': ${why}`)

/** Undefined if the value is not a signature. */
function partsOf(value: unknown): Parts | undefined {
  if (typeof value !== 'string') return undefined
  const [, kid, at, notBefore, sig, sides, hashes] = SIGNATURE.exec(value) ?? []
  if (kid === undefined || sig === undefined || !isBase64Url(sig)) return undefined
  if (hashes !== undefined && !isBase64Url(hashes)) return undefined
  return {
    kid,
    at: new Date(Number(at)),
    notBefore: notBefore === '' ? undefined : new Date(Number(notBefore)),
    sig,
    ...(hashes === undefined ? {} : { path: { sides: Number(sides), hashes: Buffer.from(hashes, 'base64url') } }),
  }
}

/** A signature has at most 64 bytes and a path at most 192, which are 86 and 256 letters. */
const SIGNATURE = /^([\w.-]{1,64}):(\d{1,15}):(-?\d{1,15}|):([\w-]{1,86})(?::(\d|[1-5]\d|6[0-3]):([\w-]{1,256}))?$/

/** Whether this is how the bytes are written: the last letter has bits that a decoder ignores, and nobody may change them. */
const isBase64Url = (text: string): boolean => Buffer.from(text, 'base64url').toString('base64url') === text

/** The earliest start of a task by its signature. */
export const notBeforeOf = (signature: unknown): Date | undefined => partsOf(signature)?.notBefore

/** The signed bytes, as BSON: it keeps the order of fields and the types of values, so they are the same after a read. */
function bytesOf(kind: Kind, content: Content, { kid, at, notBefore }: Omit<Parts, 'sig'>): Buffer {
  const signed: Record<string, unknown> = { kind, kid, at, notBefore: notBefore ?? null }
  for (const name of SIGNED[kind]) signed[name] = content[name] ?? null
  return Buffer.from(driver.BSON.serialize(signed))
}

/** @throws {FleetError} `BAD_SIGNING_KEY` */
function parseKey(text: string): Key {
  const [, type, id, value] =
    /^(hmac|ed25519|ed25519-batch|ed25519-public):([\w.-]{1,64}):([A-Za-z0-9_-]+)$/.exec(text.trim()) ?? []
  if (type === undefined || id === undefined || value === undefined) {
    throw badKey(
      'it must have the form hmac:ID:SECRET, ed25519:ID:PRIVATE, ed25519-batch:ID:PRIVATE or ed25519-public:ID:PUBLIC, in base64url',
    )
  }
  const bytes = Buffer.from(value, 'base64url')
  if (type === 'hmac') return hmacKey(id, bytes)
  try {
    return type === 'ed25519-public'
      ? edwardsKey(id, createPublicKey({ key: bytes, format: 'der', type: 'spki' }))
      : edwardsKey(id, createPrivateKey({ key: bytes, format: 'der', type: 'pkcs8' }), type === 'ed25519-batch')
  } catch (error) {
    throw badKey((error as Error).message)
  }
}

function hmacKey(id: string, secret: Buffer): Key {
  if (secret.length < LEAST_SECRET_BYTES) throw badKey(`a secret must have at least ${LEAST_SECRET_BYTES} bytes`)
  const key = createSecretKey(secret)
  const mac = (bytes: Buffer): Buffer => createHmac('sha256', key).update(bytes).digest()
  return {
    id,
    signsTrees: false,
    verifiesTrees: false,
    sign: mac,
    verify: (bytes, signature) => {
      const own = mac(bytes)
      return signature.length === own.length && timingSafeEqual(own, signature)
    },
  }
}

function edwardsKey(id: string, key: KeyObject, signsTrees = false): Key {
  if (key.asymmetricKeyType !== 'ed25519') throw badKey('it is not an Ed25519 key')
  const known = key.type === 'private' ? createPublicKey(key) : key
  return {
    id,
    signsTrees,
    verifiesTrees: true,
    ...(key.type === 'private' ? { sign: (bytes: Buffer) => sign(null, bytes, key) } : {}),
    verify: (bytes, signature) => verify(null, bytes, known, signature),
  }
}

export const SIGNING_ALGORITHMS = ['ed25519-batch', 'ed25519', 'hmac'] as const
/** `hmac`, `ed25519`, or `ed25519-batch`, which is Ed25519 with one signature for up to 64 tasks that are stored together. */
export type SigningAlgorithm = (typeof SIGNING_ALGORITHMS)[number]

/**
 * A new key: the part that signs, and the part that verifies. For `hmac`, both are the same secret.
 *
 * @param algorithm workers before this version do not accept `ed25519-batch`; they need the same public key either way
 * @param id the id of the key, which signatures include
 */
export function newSigningKey(
  algorithm: SigningAlgorithm,
  id: string = randomBytes(4).toString('hex'),
): { key: string; trusted: string } {
  if (algorithm === 'hmac') {
    const key = `hmac:${id}:${randomBytes(LEAST_SECRET_BYTES).toString('base64url')}`
    return { key, trusted: key }
  }
  const { privateKey, publicKey } = generateKeyPairSync('ed25519')
  return {
    key: `${algorithm}:${id}:${privateKey.export({ format: 'der', type: 'pkcs8' }).toString('base64url')}`,
    trusted: `ed25519-public:${id}:${publicKey.export({ format: 'der', type: 'spki' }).toString('base64url')}`,
  }
}
