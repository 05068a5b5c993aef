import type { Principal } from '@taskfleet/core'
import type { SigningKeys } from '@taskfleet/core/internal'
import { FleetError } from '@taskfleet/protocol'
import { SignedTokens } from '../signed-tokens.ts'

/** For as long as it takes to ask a worker. A transfer that has begun goes on. */
const LIFETIME_S = 60

/** Short-lived tokens with which a gateway gets the file of exactly one task from a worker. */
export class FileTokens {
  readonly #tokens: SignedTokens

  /** @param now the server's time */
  constructor(keys: SigningKeys, now: () => Date) {
    this.#tokens = new SignedTokens({ keys, kind: 'file', lifetimeS: LIFETIME_S, now })
  }

  async issue(task: string, principal: Principal): Promise<string> {
    return (await this.#tokens.issue(principal.id, audienceOf(task))).token
  }

  /**
   * @returns the id of the key for which it was made
   * @throws {FleetError} `UNAUTHENTICATED`, `WRONG_AUDIENCE`, `TOKEN_EXPIRED`, `SECRET_MISMATCH`
   */
  async verify(token: string | undefined, task: string): Promise<string> {
    if (token === undefined) throw new FleetError('UNAUTHENTICATED', 'A file is sent for a token of a gateway only')
    const { subject, audience } = await this.#tokens.verify(token)
    if (audience === audienceOf(task)) return subject
    throw new FleetError('WRONG_AUDIENCE', 'This token is not for the file of this task')
  }
}

const audienceOf = (task: string): string => `file:${task}`
