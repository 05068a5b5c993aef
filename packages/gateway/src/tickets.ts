import type { KeyStore, Principal, Scope } from '@taskfleet/core'
import { FleetError } from '@taskfleet/protocol'
import { errors } from 'jose'
import { type SignedToken, SignedTokens } from './signed-tokens.ts'

const LIFETIME_S = 300

/** What a ticket says about its holder. */
export interface TicketHolder {
  id: string
  scopes: readonly Scope[]
}

/** Tokens for one attempt of one task, so that a task's socket never sees a key. */
export class Tickets {
  readonly #tokens: SignedTokens

  constructor(keys: KeyStore, now: () => Date) {
    this.#tokens = new SignedTokens(keys, now)
  }

  issue(task: { id: string; attempt: number }, { id, scopes }: Principal): Promise<SignedToken> {
    return this.#tokens.sign(LIFETIME_S, id, audience(task), { scopes: [...scopes] })
  }

  /** @throws {FleetError} `UNAUTHENTICATED`, `WRONG_AUDIENCE`, `STALE_ATTEMPT`, `TOKEN_EXPIRED` */
  async verify(token: unknown, task: { id: string; attempt: number }): Promise<TicketHolder> {
    if (typeof token !== 'string' || token === '')
      throw new FleetError('UNAUTHENTICATED', "A task's socket takes a ticket")
    if (token.startsWith('tf_')) {
      throw new FleetError('WRONG_AUDIENCE', "A key is for the gateway; ask it for this task's ticket")
    }
    const { aud, sub, scopes } = await this.#tokens.verify(token).catch((error: unknown) => {
      if (!(error instanceof errors.JOSEError)) throw error
      if (error instanceof errors.JWTExpired)
        throw new FleetError('TOKEN_EXPIRED', 'This ticket has expired; ask for another')
      throw new FleetError('UNAUTHENTICATED', 'This ticket is not valid for this fleet')
    })
    if (aud !== audience(task)) {
      const [kind, id] = String(aud).split(':')
      const stale = kind === 'task' && id === task.id
      throw stale
        ? new FleetError('STALE_ATTEMPT', 'This ticket is for another attempt of the task')
        : new FleetError('WRONG_AUDIENCE', 'This ticket is for another task')
    }
    return { id: sub ?? 'unknown', scopes: Array.isArray(scopes) ? (scopes as Scope[]) : [] }
  }
}

const audience = ({ id, attempt }: { id: string; attempt: number }): string => `task:${id}:${attempt}`
