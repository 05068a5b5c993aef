import type { KeyStore, Principal } from '@taskfleet/core'
import { FleetError } from '@taskfleet/protocol'
import { errors } from 'jose'
import { type SignedToken, SignedTokens } from './signed-tokens.ts'

const AUDIENCE = 'gateway'
const LIFETIME_S = 600

/**
 * Tokens for browsers, so that a page need not hold a key. For ten minutes a session has its key's current permissions at any gateway of
 * the fleet. A task's socket does not accept it. The token does not list the permissions, since its key may lose them.
 */
export class Sessions {
  readonly #keys: KeyStore
  readonly #tokens: SignedTokens

  constructor(keys: KeyStore, now: () => Date) {
    this.#keys = keys
    this.#tokens = new SignedTokens(keys, now)
  }

  issue({ id }: Pick<Principal, 'id'>): Promise<SignedToken> {
    return this.#tokens.sign(LIFETIME_S, id, AUDIENCE)
  }

  /** @throws {FleetError} `UNAUTHENTICATED`, the same for one that is forged, expired, for something else, or of a revoked key */
  async verify(token: string): Promise<Principal & { expiresAt: Date }> {
    const refused = new FleetError('UNAUTHENTICATED', 'This key is not known here')
    const { sub, exp } = await this.#tokens.verify(token, { audience: AUDIENCE }).catch((error: unknown) => {
      throw error instanceof errors.JOSEError ? refused : error
    })
    if (sub === undefined || exp === undefined) throw refused
    const principal = (await this.#keys.principals([sub])).get(sub)
    if (principal === undefined) throw refused
    return { ...principal, expiresAt: new Date(exp * 1_000) }
  }
}

/** Whether a token is of this kind and not a key. */
export const isSession = (token: unknown): token is string => typeof token === 'string' && token.startsWith('ey')
