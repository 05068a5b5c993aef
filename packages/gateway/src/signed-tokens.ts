import type { SigningKeys, TokenKind } from '@taskfleet/core/internal'
import { FleetError } from '@taskfleet/protocol'
import { errors, type JWTPayload, jwtVerify, SignJWT } from 'jose'

const ALGORITHM = 'HS256'
const ISSUER = 'taskfleet'
/** How much the clocks of processes may differ. */
const TOLERANCE_S = 60

export interface SignedTokensOptions {
  keys: SigningKeys
  kind: TokenKind
  /** How long a token is valid, in seconds. */
  lifetimeS: number
  /** The server's time: clocks of gateways and workers may be hours apart. */
  now: () => Date
}

/** A token with a valid signature, issuer and time. */
export interface VerifiedToken {
  subject: string
  audience: JWTPayload['aud']
  expiresAt: Date
}

/** Short-lived signed tokens of one kind (JWT, HS256). */
export class SignedTokens {
  readonly #options: SignedTokensOptions

  constructor(options: SignedTokensOptions) {
    this.#options = options
  }

  async issue(subject: string, audience: string, claims: JWTPayload = {}): Promise<{ token: string; expiresAt: Date }> {
    const { keys, kind, lifetimeS, now } = this.#options
    const expiresAt = new Date(now().getTime() + lifetimeS * 1_000)
    const { id, key } = await keys.signing(kind)
    const token = await new SignJWT(claims)
      .setProtectedHeader({ alg: ALGORITHM, kid: id })
      .setIssuer(ISSUER)
      .setSubject(subject)
      .setAudience(audience)
      .setExpirationTime(expiresAt)
      .sign(key)
    return { token, expiresAt }
  }

  /**
   * A token with a longer lifetime than the fleet issues is rejected, even with a valid signature.
   *
   * @throws {FleetError} `UNAUTHENTICATED`, `TOKEN_EXPIRED`, `SECRET_MISMATCH`
   */
  async verify(token: string): Promise<VerifiedToken> {
    const { keys, kind, lifetimeS, now } = this.#options
    const currentDate = now()
    const invalid = new FleetError('UNAUTHENTICATED', 'This token is not valid here')
    const { payload } = await jwtVerify(token, ({ kid }) => keys.verifying(kind, kid), {
      algorithms: [ALGORITHM],
      issuer: ISSUER,
      clockTolerance: TOLERANCE_S,
      currentDate,
      requiredClaims: ['sub', 'aud', 'exp'],
    }).catch((error: unknown) => {
      if (error instanceof errors.JWTExpired)
        throw new FleetError('TOKEN_EXPIRED', 'This token has expired; request another one')
      // An error of the database during the look-up of the key does not make the token invalid.
      throw error instanceof errors.JOSEError ? invalid : error
    })
    const { sub, aud, exp } = payload
    const latest = currentDate.getTime() / 1_000 + lifetimeS + TOLERANCE_S
    if (sub === undefined || exp === undefined || exp > latest) throw invalid
    return { subject: sub, audience: aud, expiresAt: new Date(exp * 1_000) }
  }
}
