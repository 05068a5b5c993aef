import type { IncomingMessage } from 'node:http'
import { isIP } from 'node:net'
import { KeyStore, LOCAL, type Principal } from '@taskfleet/core'
import {
  type Feed,
  type FleetDatabase,
  parseSecrets,
  Service,
  SigningKeys,
  WorkerRegister,
} from '@taskfleet/core/internal'
import { FleetError } from '@taskfleet/protocol'
import { isSession, Sessions } from './sessions.ts'
import { SignInLimit } from './sign-in-limit.ts'

const LOCKED_CHECK_MS = 1_000

/** Who may talk to this gateway, and from which pages. */
export class Access extends Service {
  readonly keys: KeyStore
  /** What signs sessions and tickets. */
  readonly signing: SigningKeys
  readonly sessions: Sessions
  readonly #register: WorkerRegister
  readonly #wrong = new SignInLimit()
  readonly #feed: Feed
  /** Addresses of the fleet's workers and gateways by id: pages of theirs may connect to any of them. */
  readonly #addresses = new Map<string, string>()
  #locked = false
  #lockedCheckedAt = Number.NEGATIVE_INFINITY

  /** @throws {FleetError} `BAD_SECRET` */
  constructor(database: FleetDatabase, feed: Feed, secret?: string) {
    super()
    this.keys = new KeyStore(database.db, () => database.clock.now())
    this.signing = new SigningKeys(this.keys, parseSecrets(secret))
    this.sessions = new Sessions(this.keys, () => database.clock.now(), this.signing)
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
   * The same for somebody at an address, from which many wrong ones are not taken.
   *
   * @throws {FleetError} `UNAUTHENTICATED`, `RATE_LIMITED`
   */
  signIn(token: unknown, address: string): Promise<Principal & { expiresAt?: Date }> {
    return this.counted(token, address, () => this.authenticate(token))
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
