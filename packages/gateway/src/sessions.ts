import type { KeyStore, Principal } from '@taskfleet/core'
import { SigningKeys } from '@taskfleet/core/internal'
import { FleetError } from '@taskfleet/protocol'
import { SignedTokens } from './signed-tokens.ts'

const AUDIENCE = 'gateway'
const LIFETIME_S = 600

export interface Session {
  token: string
  expiresAt: Date
}

/**
 * Short-lived tokens for browsers, so that a page need not hold a key. A session has its key's permissions for ten minutes, at any
 * gateway of the fleet, and none at a task's socket. It does not contain them, since the key may have lost some.
 */
export class Sessions {
  readonly #keys: KeyStore
  readonly #tokens: SignedTokens

  /** @param now the server's time: clocks of gateways may be hours apart */
  constructor(keys: KeyStore, now: () => Date, signing = new SigningKeys(keys)) {
    this.#keys = keys
    this.#tokens = new SignedTokens({ keys: signing, kind: 'session', lifetimeS: LIFETIME_S, now })
  }

  issue({ id }: Pick<Principal, 'id'>): Promise<Session> {
    return this.#tokens.issue(id, AUDIENCE)
  }

  /**
   * @throws {FleetError} `UNAUTHENTICATED` for a forged or expired session, another audience or a revoked key. Only if another secret
   *   signed it, the message says so
   */
  async verify(token: string): Promise<Principal & { expiresAt: Date }> {
    const refused = new FleetError('UNAUTHENTICATED', 'This key is not valid for this fleet')
    const { subject, audience, expiresAt } = await this.#tokens.verify(token).catch(asRefusal)
    if (audience !== AUDIENCE) throw refused
    const principal = (await this.#keys.principals([subject])).get(subject)
    if (principal === undefined) throw refused
    return { ...principal, expiresAt }
  }
}

/** After this error a client creates another session, which is valid here. */
function asRefusal(error: unknown): never {
  if (!(error instanceof FleetError)) throw error
  const why = error.code === 'SECRET_MISMATCH' ? error.message : 'This key is not valid for this fleet'
  throw new FleetError('UNAUTHENTICATED', why, { cause: error })
}

/** Whether a token is of this kind and not a key. */
export const isSession = (token: unknown): token is string => typeof token === 'string' && token.startsWith('ey')
