import { isIP } from 'node:net'
import { FleetError } from '@taskfleet/protocol'

/** How many wrong keys an address may send in a row, and how soon it may send one more. */
const BURST = 20
const ONE_MORE_MS = 5_000
/** Beyond this many addresses, the one that has been quiet for longest is forgotten. */
const ADDRESSES = 10_000

/** Too many wrong keys from one address. */
export class SignInLimited extends FleetError {
  readonly retryAfterS: number
  /** The data of the error in a socket's handshake. */
  readonly data: { code: string; retryAfter: number }

  constructor(retryAfterS: number) {
    super('RATE_LIMITED', 'Too many wrong keys came from this address: wait for the time in retry-after')
    this.retryAfterS = retryAfterS
    this.data = { code: this.code, retryAfter: retryAfterS }
  }
}

/**
 * Counts wrong keys by the address of the client: that of the connection, unless a trusted proxy names another. Only wrong
 * keys are refused: behind one proxy there may be many clients with valid ones.
 */
export class SignInLimit {
  readonly #left = new Map<string, { tries: number; at: number }>()
  readonly #now: () => number

  constructor(now: () => number = () => performance.now()) {
    this.#now = now
  }

  /** Whether the next wrong key from there is one too many. */
  isSpent(address: string): boolean {
    const before = this.#left.get(networkOf(address))
    return before !== undefined && this.#triesOf(before) < 1
  }

  /** Counts a wrong key. @throws {SignInLimited} when it was one too many */
  failed(address: string): void {
    const from = networkOf(address)
    const at = this.#now()
    const before = this.#left.get(from) ?? { tries: BURST, at }
    const tries = this.#triesOf(before)
    const refused = tries < 1
    this.#left.delete(from)
    this.#left.set(from, { tries: refused ? tries : tries - 1, at })
    if (this.#left.size > ADDRESSES) this.#left.delete(this.#left.keys().next().value!)
    if (refused) throw new SignInLimited(Math.ceil(((1 - tries) * ONE_MORE_MS) / 1_000))
  }

  #triesOf({ tries, at }: { tries: number; at: number }): number {
    return Math.min(BURST, tries + (this.#now() - at) / ONE_MORE_MS)
  }
}

/** A client with one IPv6 address has 2^64 of them. */
export function networkOf(address: string): string {
  const [, mapped] = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address) ?? []
  if (mapped !== undefined) return mapped
  if (isIP(address) !== 6) return address
  const [front = [], back] = address
    .split('%')[0]!
    .split('::')
    .map((half) => half.split(':').filter((part) => part !== ''))
  const zeros = back === undefined ? 0 : 8 - front.length - back.length
  return [...front, ...Array.from({ length: zeros }, () => '0'), ...(back ?? [])].slice(0, 4).join(':')
}
