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
/** How much of a name is repeated in a refusal. */
const SHOWN = 100
/** How many gateway addresses a client gets at most. */
const GATEWAYS_NAMED = 20

/** What a request says of where it goes and comes from. */
interface AskedFor {
  host: string | undefined
  origin: string | undefined
  /** How the client reached us, where that is known. */
  scheme: string | undefined
}
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
  /** What signs sessions and tickets. */
  readonly signing: SigningKeys
  readonly sessions: Sessions
  readonly #register: WorkerRegister
  readonly #wrong = new SignInLimit()
  readonly #feed: Feed
  /** Addresses of the fleet's workers and gateways by id. */
  readonly #addresses = new Map<string, string>()
  /** The same with those that have stopped: their pages may be open in browsers, and connect to any other gateway. */
  readonly #origins = new Map<string, string>()
  /** Those of them that are not known to be gone. */
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
    this.#register = new WorkerRegister(database.connection, database.clock)
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

  /** Whether there is any key. A fleet once locked stays so for this process. */
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

  /** Somebody without a key: only this computer, and only while the fleet has none. @throws {FleetError} `UNAUTHENTICATED` */
  async anonymous(address: string): Promise<Principal> {
    if (await this.locked()) throw new FleetError('UNAUTHENTICATED', 'This fleet is locked: a key is needed')
    if (isLoopback(address)) return LOCAL
    throw new FleetError(
      'UNAUTHENTICATED',
      `Without a key only this computer may use the fleet, and this comes from ${address}: make a key with 'taskfleet keys create'`,
    )
  }

  /**
   * The same for somebody at an address. After many wrong keys from there, the database is not asked for each further one.
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

  /** Where the fleet's live gateways can be reached, this one first. */
  gateways(own: string): string[] {
    const live = [...this.#live].map((id) => this.#addresses.get(id)!)
    // An address of this computer leads those who come from elsewhere to their own.
    const others = live.filter((address) => isLoopbackAddress(own) || !isLoopbackAddress(address))
    return [...new Set([own, ...others])].slice(0, GATEWAYS_NAMED)
  }

  /**
   * Whether a request names a host that is ours and comes from a page of ours: neither a foreign page nor one that has
   * its own name point to this address gets through.
   *
   * @param own the addresses of this gateway
   * @throws {FleetError} `BAD_HOST`, `BAD_ORIGIN`
   */
  checkRequest({ host, origin, scheme }: AskedFor, own: readonly string[]): void {
    if (host === undefined || !this.#isOurHost(host, own)) {
      throw new FleetError(
        'BAD_HOST',
        `The request names the host '${cutText(host ?? '', SHOWN)}', and this gateway goes by ${own.join(' and ')}: if it is to be reached by that name, start it with --public-url`,
      )
    }
    if (origin === undefined || isOriginOf(origin, `${scheme ?? origin.split(':')[0]}://${host}`)) return
    const known = [...own, ...this.#origins.values()]
    if (known.some((address) => isOriginOf(origin, address) || isLoopbackOriginOf(origin, address))) return
    throw new FleetError(
      'BAD_ORIGIN',
      `Pages from '${cutText(origin, SHOWN)}' may not connect to this gateway, whose own come from ${own.join(' and ')}: if that is its address for browsers, start it with --public-url`,
    )
  }

  /** An address can't be pointed elsewhere by a name server; of names, only those that the fleet goes by are ours. */
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

  /** Whoever can write to the database could store anything there; only plain web addresses count. */
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
