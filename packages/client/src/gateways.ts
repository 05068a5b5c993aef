/** Chooses the gateway that a client connects to. The given addresses are tried as often as all others together. */
export class Gateways {
  readonly #given: readonly string[]
  #others: readonly string[] = []
  #current: string
  #step = 0
  #other = 0
  #tried = 0

  /** @param given at least one address */
  constructor(given: readonly string[]) {
    this.#given = given
    this.#current = given[0]!
  }

  get current(): string {
    return this.#current
  }

  /** The current gateway has answered with the addresses of the others. After TLS, addresses without TLS are ignored. */
  learn(addresses: readonly string[]): void {
    this.#tried = 0
    const secure = this.#current.startsWith('https:')
    this.#others = addresses.filter(
      (address) => !this.#given.includes(address) && isWebAddress(address) && (!secure || address.startsWith('https:')),
    )
  }

  /** The current gateway does not respond. @returns how many have been tried in a row, or undefined if there is no other */
  next(): number | undefined {
    const round = this.#given.length + (this.#others.length > 0 ? 1 : 0)
    if (round === 1) return undefined
    this.#step += 1
    const at = this.#step % round
    if (at < this.#given.length) this.#current = this.#given[at]!
    else this.#current = this.#others[this.#other++ % this.#others.length]!
    this.#tried += 1
    return this.#tried
  }
}

/** Allows only http and https, without user and password: a received address must not lead a browser anywhere else. */
function isWebAddress(address: string): boolean {
  if (!URL.canParse(address)) return false
  const { protocol, username, password } = new URL(address)
  return (protocol === 'http:' || protocol === 'https:') && username === '' && password === ''
}

/** Whether this client may connect there: a page that was loaded over TLS may not open connections without it. */
export function isReachable(address: string): boolean {
  const { location } = globalThis as { location?: { protocol?: string } }
  return isWebAddress(address) && !(location?.protocol === 'https:' && address.startsWith('http:'))
}
