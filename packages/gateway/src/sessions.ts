import type { KeyStore, Principal } from '@taskfleet/core'
import { FleetError } from '@taskfleet/protocol'
import { jwtVerify, SignJWT } from 'jose'

const ALGORITHM = 'HS256'
const ISSUER = 'taskfleet'
const AUDIENCE = 'gateway'
const LIFETIME_S = 600
const TOLERANCE_S = 60

export interface Session {
  token: string
  expiresAt: Date
}

/**
 * Short-lived tokens for browsers, so that a page need not hold a key: they may what their key may, for ten minutes, at any
 * gateway of the fleet, and nothing at a task's socket. What that is they don't say themselves: a key may have lost it since.
 */
export class Sessions {
  readonly #keys: KeyStore
  /** The server's time: clocks of gateways may be hours apart. */
  readonly #now: () => Date
  #secret: Promise<Uint8Array> | undefined

  constructor(keys: KeyStore, now: () => Date) {
    this.#keys = keys
    this.#now = now
  }

  async issue({ id }: Pick<Principal, 'id'>): Promise<Session> {
    const expiresAt = new Date(this.#now().getTime() + LIFETIME_S * 1_000)
    const token = await new SignJWT()
      .setProtectedHeader({ alg: ALGORITHM })
      .setIssuer(ISSUER)
      .setSubject(id)
      .setAudience(AUDIENCE)
      .setExpirationTime(expiresAt)
      .sign(await this.#getSecret())
    return { token, expiresAt }
  }

  /** @throws {FleetError} `UNAUTHENTICATED`, the same for one that is forged, expired, for something else, or of a revoked key */
  async verify(token: string): Promise<Principal & { expiresAt: Date }> {
    const refused = new FleetError('UNAUTHENTICATED', 'This key is not known here')
    const options = {
      algorithms: [ALGORITHM],
      issuer: ISSUER,
      audience: AUDIENCE,
      clockTolerance: TOLERANCE_S,
      currentDate: this.#now(),
    }
    const { payload } = await jwtVerify(token, await this.#getSecret(), options).catch(() => {
      throw refused
    })
    const { sub, exp } = payload
    if (sub === undefined || exp === undefined) throw refused
    const principal = (await this.#keys.principals([sub])).get(sub)
    if (principal === undefined) throw refused
    return { ...principal, expiresAt: new Date(exp * 1_000) }
  }

  #getSecret(): Promise<Uint8Array> {
    this.#secret ??= this.#keys.ticketSecret().catch((error: unknown) => {
      this.#secret = undefined
      throw error
    })
    return this.#secret
  }
}

/** Whether a token is of this kind and not a key. */
export const isSession = (token: unknown): token is string => typeof token === 'string' && token.startsWith('ey')
