import type { KeyStore } from '@taskfleet/core'
import { type JWTPayload, type JWTVerifyOptions, jwtVerify, SignJWT } from 'jose'

const ALGORITHM = 'HS256'
const ISSUER = 'taskfleet'
const TOLERANCE_S = 60

export interface SignedToken {
  token: string
  expiresAt: Date
}

/** Short-lived tokens, signed with a secret that the fleet shares. */
export class SignedTokens {
  readonly #keys: KeyStore
  /** The server's time: clocks of gateways and workers may be hours apart. */
  readonly #now: () => Date
  #secret: Promise<Uint8Array> | undefined

  constructor(keys: KeyStore, now: () => Date) {
    this.#keys = keys
    this.#now = now
  }

  /** @param lifetimeS for how many seconds it is valid */
  async sign(lifetimeS: number, subject: string, audience: string, claims: JWTPayload = {}): Promise<SignedToken> {
    const expiresAt = new Date(this.#now().getTime() + lifetimeS * 1_000)
    const token = await new SignJWT(claims)
      .setProtectedHeader({ alg: ALGORITHM })
      .setIssuer(ISSUER)
      .setSubject(subject)
      .setAudience(audience)
      .setExpirationTime(expiresAt)
      .sign(await this.#getSecret())
    return { token, expiresAt }
  }

  /** What a token says. @throws {errors.JOSEError} when it is forged, expired or not for the audience that `options` name */
  async verify(token: string, options: Pick<JWTVerifyOptions, 'audience'> = {}): Promise<JWTPayload> {
    const known = { algorithms: [ALGORITHM], issuer: ISSUER, clockTolerance: TOLERANCE_S, currentDate: this.#now() }
    return (await jwtVerify(token, await this.#getSecret(), { ...known, ...options })).payload
  }

  #getSecret(): Promise<Uint8Array> {
    this.#secret ??= this.#keys.ticketSecret().catch((error: unknown) => {
      this.#secret = undefined
      throw error
    })
    return this.#secret
  }
}
