import type { Principal } from '@taskfleet/core'
import type { SigningKeys } from '@taskfleet/core/internal'
import { FleetError } from '@taskfleet/protocol'
import { SignedTokens } from './signed-tokens.ts'

const LIFETIME_S = 300

/** Short-lived tokens for one attempt of one task, or for one host, so that their sockets never see a key. */
export class Tickets {
  readonly #tokens: SignedTokens

  /** @param now the server's time: clocks of gateways and workers may be hours apart */
  constructor(signing: SigningKeys, now: () => Date) {
    this.#tokens = new SignedTokens({ keys: signing, kind: 'ticket', lifetimeS: LIFETIME_S, now })
  }

  issue(task: { id: string; attempt: number }, principal: Principal): Promise<{ token: string; expiresAt: Date }> {
    // Earlier versions read the scopes from the ticket.
    return this.#tokens.issue(principal.id, audienceOf(task), { scopes: [...principal.scopes] })
  }

  /** A token for the socket of one worker. Which tasks its key may watch there is decided for each task. */
  issueForHost(worker: string, principal: Principal): Promise<{ token: string; expiresAt: Date }> {
    return this.#tokens.issue(principal.id, hostAudience(worker))
  }

  /**
   * @returns the id of the key for which it was made
   * @throws {FleetError} `UNAUTHENTICATED`, `WRONG_AUDIENCE`, `TOKEN_EXPIRED`, `SECRET_MISMATCH`
   */
  async verifyForHost(token: unknown, worker: string): Promise<{ id: string }> {
    if (typeof token !== 'string' || token === '')
      throw new FleetError('UNAUTHENTICATED', "A host's socket takes a ticket")
    if (token.startsWith('tf_')) {
      throw new FleetError('WRONG_AUDIENCE', "A key is for the gateway; request this host's ticket there")
    }
    const { subject, audience } = await this.#tokens.verify(token)
    if (audience === hostAudience(worker)) return { id: subject }
    throw new FleetError('WRONG_AUDIENCE', 'This ticket is not for this host')
  }

  /**
   * @returns the id of the key for which it was made
   * @throws {FleetError} `UNAUTHENTICATED`, `WRONG_AUDIENCE`, `STALE_ATTEMPT`, `TOKEN_EXPIRED`, `SECRET_MISMATCH`
   */
  async verify(token: unknown, task: { id: string; attempt: number }): Promise<{ id: string }> {
    if (typeof token !== 'string' || token === '')
      throw new FleetError('UNAUTHENTICATED', "A task's socket takes a ticket")
    if (token.startsWith('tf_')) {
      throw new FleetError('WRONG_AUDIENCE', "A key is for the gateway; request this task's ticket there")
    }
    const { subject, audience } = await this.#tokens.verify(token)
    if (audience !== audienceOf(task)) {
      const [kind, id] = String(audience).split(':')
      const stale = kind === 'task' && id === task.id
      throw stale
        ? new FleetError('STALE_ATTEMPT', 'This ticket is for another attempt of the task')
        : new FleetError('WRONG_AUDIENCE', 'This ticket is for another task')
    }
    return { id: subject }
  }
}

const audienceOf = ({ id, attempt }: { id: string; attempt: number }): string => `task:${id}:${attempt}`

const hostAudience = (worker: string): string => `host:${worker}`
