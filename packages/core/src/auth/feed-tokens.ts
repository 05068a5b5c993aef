import { createHmac, timingSafeEqual } from 'node:crypto'
import { FleetError } from '@taskfleet/protocol'
import type { SigningKeys } from './fleet-secret.ts'

const LIFETIME_MS = 60_000
/** By how much the clocks of processes may differ. */
const TOLERANCE_MS = 60_000

/** Short-lived tokens with which a process of the fleet subscribes to another one's feed: `SECRET_ID.EXPIRES_AT.MAC`. */
export class FeedTokens {
  readonly #keys: SigningKeys
  readonly #now: () => Date

  /** @param now the server's time */
  constructor(keys: SigningKeys, now: () => Date) {
    this.#keys = keys
    this.#now = now
  }

  async issue(): Promise<string> {
    const { id, key } = await this.#keys.signing('feed')
    const expiresAt = this.#now().getTime() + LIFETIME_MS
    return `${id}.${expiresAt}.${macOf(key, id, expiresAt).toString('base64url')}`
  }

  /** @throws {FleetError} `UNAUTHENTICATED`, `TOKEN_EXPIRED`, `SECRET_MISMATCH` */
  async verify(token: unknown): Promise<void> {
    const invalid = new FleetError('UNAUTHENTICATED', 'This token is not valid here')
    const [, id, time, mac] = /^(\w{1,64})\.(\d{1,15})\.([\w-]{43})$/.exec(String(token)) ?? []
    if (id === undefined || time === undefined || mac === undefined) throw invalid
    const expected = macOf(await this.#keys.verifying('feed', id), id, Number(time))
    const given = Buffer.from(mac, 'base64url')
    if (given.length !== expected.length || !timingSafeEqual(given, expected)) throw invalid
    const left = Number(time) - this.#now().getTime()
    if (left < -TOLERANCE_MS) throw new FleetError('TOKEN_EXPIRED', 'This token has expired')
    if (left > LIFETIME_MS + TOLERANCE_MS) throw invalid
  }
}

/** The purpose is part of the text: without a secret, all tokens of a fleet have one key. */
const macOf = (key: Uint8Array, id: string, expiresAt: number): Buffer =>
  createHmac('sha256', key).update(`taskfleet feed ${id} ${expiresAt}`).digest()
