import { hkdfSync, randomBytes } from 'node:crypto'
import { FleetError } from '@taskfleet/protocol'
import type { KeyStore } from './key-store.ts'

const LEAST_BYTES = 32
/** The warning for a fleet without a secret. */
export const WEAK_SECRET =
  'anyone with read access to the database can forge sessions: run `taskfleet secret` and set TASKFLEET_SECRET for all gateways and workers'

/** The id of the secret that is stored in the database. It signs while the fleet has no other secret. */
const STORED = 'database'

/** A new secret of 256 random bits, as a text without spaces and commas. */
export const newSecret = (): string => randomBytes(32).toString('base64url')

/**
 * Reads the secrets of a fleet. The first one signs, and all verify, so that a secret can be replaced while both are in use.
 *
 * @param text one or several secrets, separated by commas or line ends; undefined or empty for none
 * @throws {FleetError} `BAD_SECRET` for a secret with fewer than 32 bytes
 */
export function parseSecrets(text: string | undefined): string[] {
  const secrets = (text ?? '')
    .split(/[,\r\n]/)
    .map((part) => part.trim())
    .filter((part) => part !== '')
  for (const [index, secret] of secrets.entries()) {
    const length = Buffer.byteLength(secret)
    if (length >= LEAST_BYTES) continue
    const which = secrets.length === 1 ? 'The secret' : `Secret ${index + 1} of ${secrets.length}`
    throw new FleetError(
      'BAD_SECRET',
      `${which} has ${length} bytes, but needs at least ${LEAST_BYTES}. Make one with \`taskfleet secret\``,
    )
  }
  return secrets
}

interface DerivedSecret {
  id: string
  /** A key for each kind of token, so that one kind can't be used as another. */
  keys: Record<TokenKind, Uint8Array>
}

export type TokenKind = 'session' | 'ticket' | 'feed' | 'file'

/**
 * The keys that sign a fleet's tokens. They are derived from its secrets and a value in its database. So read access to the
 * database is not enough to sign, and two fleets with the same secret have different keys. Without a secret, the value in the
 * database is the key.
 */
export class SigningKeys {
  readonly #store: Pick<KeyStore, 'ticketSecret'>
  readonly #secrets: readonly string[]
  #derived: Promise<DerivedSecret[]> | undefined

  constructor(store: Pick<KeyStore, 'ticketSecret'>, secrets: readonly string[] = []) {
    this.#store = store
    this.#secrets = secrets
  }

  /** Whether anyone with read access to the database can forge tokens. */
  get weak(): boolean {
    return this.#secrets.length === 0
  }

  /** The ids of the secrets, the signing one first; empty if only the database's secret signs. They reveal nothing about them. */
  async ids(): Promise<string[]> {
    return this.weak ? [] : (await this.#all()).map(({ id }) => id)
  }

  async signing(kind: TokenKind): Promise<{ id: string; key: Uint8Array }> {
    const { id, keys } = (await this.#all())[0]!
    return { id, key: keys[kind] }
  }

  /**
   * @param id the id of the secret that signed; absent in tokens of earlier versions, which used the database's secret
   * @throws {FleetError} `SECRET_MISMATCH`; `UNAUTHENTICATED` for a token without an id if the fleet has a secret
   */
  async verifying(kind: TokenKind, id: string | undefined): Promise<Uint8Array> {
    if (id === undefined && !this.weak) throw new FleetError('UNAUTHENTICATED', 'This token names no secret')
    const found = (await this.#all()).find((one) => one.id === (id ?? STORED))
    if (found !== undefined) return found.keys[kind]
    throw new FleetError(
      'SECRET_MISMATCH',
      'This was signed with a secret that this process does not have. Set the same TASKFLEET_SECRET for all gateways and workers',
    )
  }

  #all(): Promise<DerivedSecret[]> {
    this.#derived ??= this.#derive().catch((error: unknown) => {
      this.#derived = undefined
      throw error
    })
    return this.#derived
  }

  async #derive(): Promise<DerivedSecret[]> {
    const stored = await this.#store.ticketSecret()
    if (this.weak) return [{ id: STORED, keys: { session: stored, ticket: stored, feed: stored, file: stored } }]
    return this.#secrets.map((secret) => ({
      id: secretId(secret, stored),
      keys: {
        session: derive(secret, stored, 'session', 32),
        ticket: derive(secret, stored, 'ticket', 32),
        feed: derive(secret, stored, 'feed', 32),
        file: derive(secret, stored, 'file', 32),
      },
    }))
  }
}

/** The id of a secret within a fleet. Processes compare their secrets by it. */
export const secretId = (secret: string, stored: Uint8Array): string =>
  Buffer.from(derive(secret, stored, 'id', 8)).toString('hex')

/** HKDF (RFC 5869) with SHA-256. */
const derive = (secret: string, salt: Uint8Array, purpose: string, length: number): Uint8Array =>
  new Uint8Array(hkdfSync('sha256', secret, salt, `taskfleet ${purpose}`, length))
