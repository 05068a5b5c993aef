import { isIP } from 'node:net'
import { KeyStore, LOCAL, type Principal } from '@taskfleet/core'
import {
  type Feed,
  type FleetDatabase,
  parseSecrets,
  Service,
  SigningKeys,
  secretHash,
  WorkerRegister,
} from '@taskfleet/core/internal'
import { FleetError } from '@taskfleet/protocol'
import { cutText } from '@taskfleet/protocol/internal'
import pLimit from 'p-limit'
import {
  authorityOf,
  isAt,
  isGatewayAddress,
  isLoopback,
  isLoopbackAddress,
  isLoopbackOriginOf,
  isOriginOf,
} from './names.ts'
import { isSession, Sessions } from './sessions.ts'
import { SignInLimit } from './sign-in-limit.ts'

const LOCKED_CHECK_MS = 1_000
/** How many characters of a name an error repeats. */
const SHOWN = 100
/** How many gateway addresses a client gets at most. */
const GATEWAYS_NAMED = 20

/** The names and addresses of a request. */
interface AskedFor {
  host: string | undefined
  origin: string | undefined
  /** The scheme of the client's request, if it is known. */
  scheme: string | undefined
}
/** The greatest age of the list of keys that replaces look-ups for addresses with too many wrong keys. */
const KNOWN_KEYS_MS = 1_000
/** How many keys are looked up at a time, so that many wrong ones are noticed before all have been looked up. */
const LOOK_UPS_AT_ONCE = 10
/** How many wrong tokens a connection may send before it is closed. */
const REFUSALS_OF_ONE = 20
const WRONG_TOKEN = new Set(['UNAUTHENTICATED', 'WRONG_AUDIENCE', 'RATE_LIMITED'])

/** Decides which clients and pages may use this gateway. */
export class Access extends Service {
  readonly keys: KeyStore
  /** The secret that signs sessions and tickets. */
  readonly signing: SigningKeys
  readonly sessions: Sessions
  readonly #register: WorkerRegister
  readonly #wrong = new SignInLimit()
  readonly #feed: Feed
  /** Addresses of the fleet's workers and gateways by id. */
  readonly #addresses = new Map<string, string>()
  /** The same with those that have stopped: their pages may still be open in browsers, and may connect to any other gateway. */
  readonly #origins = new Map<string, string>()
  /** The addresses of live ones. */
  readonly #live = new Set<string>()
  #locked = false
  #lockedCheckedAt = Number.NEGATIVE_INFINITY
  readonly #lookUps = pLimit(LOOK_UPS_AT_ONCE)
  #knownKeys: { at: number; hashes: Promise<ReadonlySet<string>> } | undefined
  readonly #refusals = new WeakMap<object, number>()

  /** @throws {FleetError} `BAD_SECRET` */
  constructor(database: FleetDatabase, feed: Feed, secret?: string) {
    super()
    this.keys = new KeyStore(database.db, () => database.clock.now())
    this.signing = new SigningKeys(this.keys, parseSecrets(secret))
    this.sessions = new Sessions(this.keys, () => database.clock.now(), this.signing)
    this.#register = new WorkerRegister(database, database.clock)
    this.#feed = feed
  }

  protected override async onStart(): Promise<void> {
    this.defer(
      this.#feed.subscribe({
        change: ({ collection, id, doc }) => {
          if (collection === 'workers') this.#note(String(id), doc ?? {})
        },
        lost: () => void this.#readAddresses().catch(() => undefined),
      }),
    )
    await this.#readAddresses()
  }

  /** Whether there is any key. Once locked, the fleet stays locked for this process. */
  async locked(): Promise<boolean> {
    if (!this.#locked && performance.now() - this.#lockedCheckedAt > LOCKED_CHECK_MS) {
      this.#locked = await this.keys.anyKeys()
      this.#lockedCheckedAt = performance.now()
    }
    return this.#locked
  }

  /** @throws {FleetError} `UNAUTHENTICATED` */
  async authenticate(token: unknown, address: string): Promise<Principal & { expiresAt?: Date }> {
    if (isSession(token)) return this.sessions.verify(token)
    if (token !== undefined && token !== '') return this.keys.verify(token)
    return this.anonymous(address)
  }

  /** A client without a key: only from this computer, and only while the fleet has no key. @throws {FleetError} `UNAUTHENTICATED` */
  async anonymous(address: string): Promise<Principal> {
    if (await this.locked()) throw new FleetError('UNAUTHENTICATED', 'This fleet is locked: a key is required')
    if (isLoopback(address)) return LOCAL
    throw new FleetError(
      'UNAUTHENTICATED',
      `Without a key only this computer may use the fleet, and this request comes from ${address}: create a key with 'taskfleet keys create'`,
    )
  }

  /**
   * The same, with the client's address. After many wrong keys from there, further ones cause no query of the database.
   *
   * @throws {FleetError} `UNAUTHENTICATED`, `RATE_LIMITED`
   */
  signIn(token: unknown, address: string): Promise<Principal & { expiresAt?: Date }> {
    if (isSession(token)) return this.counted(token, address, () => this.authenticate(token, address))
    return this.counted(token, address, () =>
      this.#lookUps(async () => {
        if (this.#wrong.isSpent(address) && !(await this.#isKnown(token))) {
          throw new FleetError('UNAUTHENTICATED', 'This key is not valid for this fleet')
        }
        return this.authenticate(token, address)
      }),
    )
  }

  /** Whether a token belongs to a key that was valid at most a second ago. */
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

  /** Closes a connection after too many wrong tokens. */
  refused(connection: { close(discard: boolean): void }, error: unknown): void {
    if (!WRONG_TOKEN.has((error as { code?: string }).code ?? '')) return
    const refusals = (this.#refusals.get(connection) ?? 0) + 1
    this.#refusals.set(connection, refusals)
    if (refusals >= REFUSALS_OF_ONE) connection.close(true)
  }

  /** Counts refused tokens. @throws {FleetError} `RATE_LIMITED`, and the errors of `verify` */
  async counted<T>(token: unknown, address: string, verify: () => Promise<T>): Promise<T> {
    try {
      return await verify()
    } catch (error) {
      const shown = token !== undefined && token !== ''
      if (shown && error instanceof FleetError && error.code === 'UNAUTHENTICATED') this.#wrong.failed(address)
      throw error
    }
  }

  /** The current permissions of a key, for its sessions and tickets. @throws {FleetError} `UNAUTHENTICATED` */
  async present(id: string): Promise<Principal> {
    if (id === LOCAL.id && !(await this.locked())) return LOCAL
    const principal = (await this.keys.principals([id])).get(id)
    if (principal === undefined) throw new FleetError('UNAUTHENTICATED', 'The key of this ticket is no longer valid')
    return principal
  }

  /** Whether an address is that of a task's socket at a registered worker. */
  knows(address: string, taskId: string): boolean {
    return [...this.#addresses.values()].some((known) => address === `${known}/tasks/${taskId}`)
  }

  /** The registered address of a worker; undefined if it does not listen, or has stopped. */
  addressOf(worker: string): string | undefined {
    return this.#addresses.get(worker)
  }

  /** The addresses of the fleet's live gateways, this one first. */
  gateways(own: string): string[] {
    const live = [...this.#live].map((id) => this.#addresses.get(id)!)
    // For a client elsewhere, a loopback address would be its own computer.
    const others = live.filter((address) => isLoopbackAddress(own) || !isLoopbackAddress(address))
    return [...new Set([own, ...others])].slice(0, GATEWAYS_NAMED)
  }

  /**
   * Checks that a request names one of our hosts and comes from one of our pages. A foreign page is refused, even if its own name
   * points to this address (DNS rebinding).
   *
   * @param own the addresses of this gateway
   * @throws {FleetError} `BAD_HOST`, `BAD_ORIGIN`
   */
  checkRequest({ host, origin, scheme }: AskedFor, own: readonly string[]): void {
    if (host === undefined || !this.#isOurHost(host, own)) {
      throw new FleetError(
        'BAD_HOST',
        `The request names the host '${cutText(host ?? '', SHOWN)}', but this gateway has the name ${own.join(' and ')}. To use the other name, start it with --public-url`,
      )
    }
    if (origin === undefined || isOriginOf(origin, `${scheme ?? origin.split(':')[0]}://${host}`)) return
    const known = [...own, ...this.#origins.values()]
    if (known.some((address) => isOriginOf(origin, address) || isLoopbackOriginOf(origin, address))) return
    throw new FleetError(
      'BAD_ORIGIN',
      `Pages from '${cutText(origin, SHOWN)}' may not connect to this gateway, only pages from ${own.join(' and ')}. If browsers use the other address, start it with --public-url`,
    )
  }

  /** A name server can't redirect an address, so any address is accepted. Of names, only those of the fleet are. */
  #isOurHost(host: string, own: readonly string[]): boolean {
    const authority = authorityOf(host)
    if (authority === undefined) return false
    if (isIP(authority.name) !== 0) return true
    if (authority.name === 'localhost' && own.some(isLoopbackAddress)) return true
    return [...own, ...this.#addresses.values()].some((address) => isAt(address, authority))
  }

  async #readAddresses(): Promise<void> {
    const workers = await this.#register.list()
    this.#addresses.clear()
    this.#origins.clear()
    this.#live.clear()
    for (const worker of workers) this.#note(worker._id, worker)
  }

  /** Anyone with write access to the database could store any text there, so only plain web addresses count. */
  #note(id: string, { state, url }: { state?: unknown; url?: unknown }): void {
    this.#addresses.delete(id)
    this.#live.delete(id)
    this.#origins.delete(id)
    if (typeof url !== 'string' || !isGatewayAddress(url)) return
    const address = url.replace(/\/+$/, '')
    this.#origins.set(id, address)
    if (state === 'stopped') return
    this.#addresses.set(id, address)
    if (state === 'running' || state === 'draining') this.#live.add(id)
  }
}
