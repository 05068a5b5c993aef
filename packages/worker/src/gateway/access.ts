import type { IncomingMessage } from 'node:http'
import { isIP } from 'node:net'
import {
  type ChangeFeed,
  type FleetDatabase,
  FleetError,
  KeyStore,
  LOCAL,
  type Principal,
  WorkerRegister,
} from '@taskfleet/core'

const LOCKED_CHECK_MS = 1_000

/** Who may talk to this gateway, and from which pages. */
export class Access {
  readonly keys: KeyStore
  readonly #register: WorkerRegister
  readonly #unsubscribe: () => void
  /** Addresses of the fleet's workers and gateways by id: pages of theirs may connect to any of them. */
  readonly #addresses = new Map<string, string>()
  #locked = false
  #lockedCheckedAt = Number.NEGATIVE_INFINITY

  constructor(database: FleetDatabase, feed: ChangeFeed) {
    this.keys = new KeyStore(database.db)
    this.#register = new WorkerRegister(database.connection, database.clock)
    this.#unsubscribe = feed.subscribe({
      change: ({ collection, id, doc }) => {
        if (collection === 'workers') this.#note(String(id), doc?.url)
      },
      lost: () => void this.#readAddresses().catch(() => undefined),
    })
  }

  async start(): Promise<void> {
    await this.#readAddresses()
  }

  stop(): void {
    this.#unsubscribe()
  }

  /** Whether there is any key. A fleet once locked stays so for this process. */
  async locked(): Promise<boolean> {
    if (!this.#locked && performance.now() - this.#lockedCheckedAt > LOCKED_CHECK_MS) {
      this.#locked = await this.keys.anyKeys()
      this.#lockedCheckedAt = performance.now()
    }
    return this.#locked
  }

  /** @throws {FleetError} `UNAUTHENTICATED` */
  async authenticate(token: unknown): Promise<Principal> {
    if (token !== undefined && token !== '') return this.keys.verify(token)
    if (await this.locked()) throw new FleetError('UNAUTHENTICATED', 'This fleet is locked: a key is needed')
    return LOCAL
  }

  /** Whether an address is one that a worker of this fleet has given as its own. */
  knows(address: string): boolean {
    return [...this.#addresses.values()].some((known) => address === known || address.startsWith(`${known}/`))
  }

  /**
   * Whether a request names a host that is ours and comes from a page of ours: neither a foreign page nor one that has
   * its own name point to this address gets through.
   *
   * @throws {FleetError} `BAD_HOST`, `BAD_ORIGIN`
   */
  checkRequest(request: IncomingMessage, own: readonly string[]): void {
    const { host, origin } = request.headers
    if (host === undefined || !this.#isOurHost(host, own))
      throw new FleetError('BAD_HOST', 'This host name is not ours')
    if (origin === undefined) return
    const from = hostOf(origin)
    if (from === host || (from !== undefined && this.#isOurHost(from, own))) return
    throw new FleetError('BAD_ORIGIN', 'Pages of this origin may not connect')
  }

  /** An address can't be pointed elsewhere by a name server; of names, only those that the fleet goes by are ours. */
  #isOurHost(host: string, own: readonly string[]): boolean {
    const name = host.replace(/:\d+$/, '').replace(/^\[|\]$/g, '')
    if (isIP(name) !== 0 && own.some((address) => sameName(address, name))) return true
    if (name === 'localhost' && own.some((address) => isLoopback(nameOf(address)))) return true
    return [...own, ...this.#addresses.values()].some((address) => hostOf(address) === host)
  }

  async #readAddresses(): Promise<void> {
    for (const { _id, url } of await this.#register.list()) this.#note(_id, url)
  }

  #note(id: string, url: unknown): void {
    if (typeof url === 'string') this.#addresses.set(id, url)
    else this.#addresses.delete(id)
  }
}

const hostOf = (address: string): string | undefined => (URL.canParse(address) ? new URL(address).host : undefined)
const nameOf = (address: string): string =>
  URL.canParse(address) ? new URL(address).hostname.replace(/^\[|\]$/g, '') : address
const sameName = (address: string, name: string): boolean => nameOf(address) === name

/** Whether only this computer can reach a host. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || (isIP(host) === 4 && host.startsWith('127.'))
}
