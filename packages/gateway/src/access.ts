import type { IncomingMessage } from 'node:http'
import { isIP } from 'node:net'
import { KeyStore, LOCAL, type Principal } from '@taskfleet/core'
import { type Feed, type FleetDatabase, Service, secretHash, WorkerRegister } from '@taskfleet/core/internal'
import { FleetError } from '@taskfleet/protocol'
import pLimit from 'p-limit'
import { isSession, Sessions } from './sessions.ts'
import { SignInLimit } from './sign-in-limit.ts'

const LOCKED_CHECK_MS = 1_000
/** How old the list of keys may be that those are looked up in who have shown too many wrong ones. */
const KNOWN_KEYS_MS = 1_000
/** How many keys are looked up at a time, so that many wrong ones are noticed before all of them have been. */
const LOOK_UPS_AT_ONCE = 10
/** How often one connection may show something wrong before it is closed. */
const REFUSALS_OF_ONE = 20
const WRONG_TOKEN = new Set(['UNAUTHENTICATED', 'WRONG_AUDIENCE', 'RATE_LIMITED'])

/** Who may talk to this gateway, and from which pages. */
export class Access extends Service {
  readonly keys: KeyStore
  readonly sessions: Sessions
  readonly #register: WorkerRegister
  readonly #wrong = new SignInLimit()
  readonly #feed: Feed
  /** Addresses of the fleet's workers and gateways by id: pages of theirs may connect to any of them. */
  readonly #addresses = new Map<string, string>()
  #locked = false
  #lockedCheckedAt = Number.NEGATIVE_INFINITY
  readonly #lookUps = pLimit(LOOK_UPS_AT_ONCE)
  #knownKeys: { at: number; hashes: Promise<ReadonlySet<string>> } | undefined
  readonly #refusals = new WeakMap<object, number>()

  constructor(database: FleetDatabase, feed: Feed) {
    super()
    this.keys = new KeyStore(database.db, () => database.clock.now())
    this.sessions = new Sessions(this.keys, () => database.clock.now())
    this.#register = new WorkerRegister(database.connection, database.clock)
    this.#feed = feed
  }

  protected override async onStart(): Promise<void> {
    this.defer(
      this.#feed.subscribe({
        change: ({ collection, id, doc }) => {
          if (collection === 'workers') this.#note(String(id), doc?.state === 'stopped' ? undefined : doc?.url)
        },
        lost: () => void this.#readAddresses().catch(() => undefined),
      }),
    )
    await this.#readAddresses()
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
  async authenticate(token: unknown): Promise<Principal & { expiresAt?: Date }> {
    if (isSession(token)) return this.sessions.verify(token)
    if (token !== undefined && token !== '') return this.keys.verify(token)
    if (await this.locked()) throw new FleetError('UNAUTHENTICATED', 'This fleet is locked: a key is needed')
    return LOCAL
  }

  /**
   * The same for somebody at an address. After many wrong keys from there, the database is not asked for each further one.
   *
   * @throws {FleetError} `UNAUTHENTICATED`, `RATE_LIMITED`
   */
  signIn(token: unknown, address: string): Promise<Principal & { expiresAt?: Date }> {
    if (isSession(token)) return this.counted(token, address, () => this.authenticate(token))
    return this.counted(token, address, () =>
      this.#lookUps(async () => {
        if (this.#wrong.isSpent(address) && !(await this.#isKnown(token))) {
          throw new FleetError('UNAUTHENTICATED', 'This key is not known here')
        }
        return this.authenticate(token)
      }),
    )
  }

  /** Whether a token is that of a key which could be used a second ago. */
  async #isKnown(token: unknown): Promise<boolean> {
    const hash = secretHash(token)
    if (hash === undefined) return false
    const now = performance.now()
    if (this.#knownKeys === undefined || now - this.#knownKeys.at > KNOWN_KEYS_MS) {
      this.#knownKeys = { at: now, hashes: this.keys.goodHashes() }
      this.#knownKeys.hashes.catch(() => (this.#knownKeys = undefined))
    }
    return (await this.#knownKeys.hashes).has(hash)
  }

  /** Closes a connection that goes on showing what is wrong. */
  refused(connection: { close(discard: boolean): void }, error: unknown): void {
    if (!WRONG_TOKEN.has((error as { code?: string }).code ?? '')) return
    const refusals = (this.#refusals.get(connection) ?? 0) + 1
    this.#refusals.set(connection, refusals)
    if (refusals >= REFUSALS_OF_ONE) connection.close(true)
  }

  /** Counts what is refused where a token was shown. @throws {FleetError} `RATE_LIMITED`, and what `verify` throws */
  async counted<T>(token: unknown, address: string, verify: () => Promise<T>): Promise<T> {
    try {
      return await verify()
    } catch (error) {
      const shown = token !== undefined && token !== ''
      if (shown && error instanceof FleetError && error.code === 'UNAUTHENTICATED') this.#wrong.failed(address)
      throw error
    }
  }

  /** What a key may do now, for what rests on it. @throws {FleetError} `UNAUTHENTICATED` */
  async present(id: string): Promise<Principal> {
    if (id === LOCAL.id && !(await this.locked())) return LOCAL
    const principal = (await this.keys.principals([id])).get(id)
    if (principal === undefined)
      throw new FleetError('UNAUTHENTICATED', 'The key of this ticket may not be used any more')
    return principal
  }

  /** Whether an address is that of a task's socket at a worker which has registered. */
  knows(address: string, taskId: string): boolean {
    return [...this.#addresses.values()].some((known) => address === `${known}/tasks/${taskId}`)
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
    if (from !== undefined && (from === host || this.#isOurPage(from, own))) return
    throw new FleetError('BAD_ORIGIN', 'Pages of this origin may not connect')
  }

  /** An address can't be pointed elsewhere by a name server; of names, only those that the fleet goes by are ours. */
  #isOurHost(host: string, own: readonly string[]): boolean {
    const name = nameOf(host)
    if (isIP(name) !== 0) return true
    if (name === 'localhost' && own.some((address) => isLoopback(nameOf(address)))) return true
    return [...own, ...this.#addresses.values()].some((address) => hostOf(address) === host)
  }

  /** The fleet's own pages come from where its gateways listen: another port of the same computer is somebody else. */
  #isOurPage(from: string, own: readonly string[]): boolean {
    return [...own, ...this.#addresses.values()].some((address) => {
      const host = hostOf(address)
      if (host === undefined) return false
      return host === from || (isLoopback(nameOf(host)) && isLoopback(nameOf(from)) && portOf(host) === portOf(from))
    })
  }

  async #readAddresses(): Promise<void> {
    const workers = await this.#register.list()
    this.#addresses.clear()
    for (const { _id, url, state } of workers) this.#note(_id, state === 'stopped' ? undefined : url)
  }

  /** Whoever can write to the database could store anything there; only plain web addresses count. */
  #note(id: string, url: unknown): void {
    if (typeof url === 'string' && isBaseAddress(url)) this.#addresses.set(id, url.replace(/\/+$/, ''))
    else this.#addresses.delete(id)
  }
}

const hostOf = (address: string): string | undefined => (URL.canParse(address) ? new URL(address).host : undefined)
const portOf = (host: string): string => /:(\d+)$/.exec(host)?.[1] ?? '80'
/** The name in an address or in `name:port`. */
const nameOf = (address: string): string =>
  (address.includes('://') ? (hostOf(address) ?? '') : address).replace(/:\d+$/, '').replace(/^\[|\]$/g, '')

/** Whether a text is where a gateway may listen: http or https, a host, perhaps a port, and nothing else. */
export function isBaseAddress(text: string): boolean {
  if (!URL.canParse(text)) return false
  const url = new URL(text)
  const bare =
    url.username === '' && url.password === '' && url.pathname === '/' && url.search === '' && url.hash === ''
  return bare && (url.protocol === 'http:' || url.protocol === 'https:')
}

/** Whether a host stands for every address of this computer and so can't be told to others. */
export function isWildcard(host: string): boolean {
  return host === '0.0.0.0' || host === '::'
}

/** Whether only this computer can reach a host. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || (isIP(host) === 4 && host.startsWith('127.'))
}
