import type { KeyStore, Principal, Scope } from '@taskfleet/core'
import { FleetError } from '@taskfleet/protocol'
import { errors, jwtVerify, SignJWT } from 'jose'

const ALGORITHM = 'HS256'
const ISSUER = 'taskfleet'
const LIFETIME_S = 300

/** What a ticket says about its holder. */
export interface TicketHolder {
  id: string
  scopes: readonly Scope[]
}

/** Short-lived tokens for one attempt of one task, so that a task's socket never sees a key. */
export class Tickets {
  readonly #keys: KeyStore
  /** The server's time: clocks of gateways and workers may be hours apart. */
  readonly #now: () => Date
  #secret: Promise<Uint8Array> | undefined

  constructor(keys: KeyStore, now: () => Date) {
    this.#keys = keys
    this.#now = now
  }

  async issue(
    task: { id: string; attempt: number },
    principal: Principal,
  ): Promise<{ token: string; expiresAt: Date }> {
    const expiresAt = new Date(this.#now().getTime() + LIFETIME_S * 1_000)
    const token = await new SignJWT({ scopes: [...principal.scopes] })
      .setProtectedHeader({ alg: ALGORITHM })
      .setIssuer(ISSUER)
      .setSubject(principal.id)
      .setAudience(audience(task))
      .setExpirationTime(expiresAt)
      .sign(await this.#getSecret())
    return { token, expiresAt }
  }

  /** @throws {FleetError} `UNAUTHENTICATED`, `WRONG_AUDIENCE`, `STALE_ATTEMPT`, `TOKEN_EXPIRED` */
  async verify(token: unknown, task: { id: string; attempt: number }): Promise<TicketHolder> {
    if (typeof token !== 'string' || token === '')
      throw new FleetError('UNAUTHENTICATED', "A task's socket takes a ticket")
    if (token.startsWith('tf_')) {
      throw new FleetError('WRONG_AUDIENCE', "A key is for the gateway; ask it for this task's ticket")
    }
    const options = { algorithms: [ALGORITHM], issuer: ISSUER, clockTolerance: 60, currentDate: this.#now() }
    const verified = await jwtVerify(token, await this.#getSecret(), options).catch((error: unknown) => {
      if (error instanceof errors.JWTExpired)
        throw new FleetError('TOKEN_EXPIRED', 'This ticket has expired; ask for another')
      throw new FleetError('UNAUTHENTICATED', 'This ticket is not valid here')
    })
    const { aud, sub, scopes } = verified.payload
    if (aud !== audience(task)) {
      const [kind, id] = String(aud).split(':')
      const stale = kind === 'task' && id === task.id
      throw stale
        ? new FleetError('STALE_ATTEMPT', 'This ticket is for another attempt of the task')
        : new FleetError('WRONG_AUDIENCE', 'This ticket is for another task')
    }
    return { id: sub ?? 'unknown', scopes: Array.isArray(scopes) ? (scopes as Scope[]) : [] }
  }

  #getSecret(): Promise<Uint8Array> {
    this.#secret ??= this.#keys.ticketSecret().catch((error: unknown) => {
      this.#secret = undefined
      throw error
    })
    return this.#secret
  }
}

const audience = ({ id, attempt }: { id: string; attempt: number }): string => `task:${id}:${attempt}`
