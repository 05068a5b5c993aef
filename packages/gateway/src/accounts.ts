import { FleetError } from '@taskfleet/protocol'
import type { Socket } from 'socket.io'
import { waitingBytes } from './backlog.ts'
import { tokenBucket } from './guard.ts'
import { networkOf } from './sign-in-limit.ts'

/** The limits for all connections with one key, or from one address. */
export interface AccountLimits {
  /** Connections to the gateway, to tasks and through the relay. */
  connections: number
  /** Bytes of live queries and of unread data. Shared queries count once. */
  bytes: number
  messagesASecond: number
  /** Tasks that are watched at hosts and through the relay. */
  watchedTasks: number
  /** Files that are sent at the same time. */
  transfers: number
}

const MIB = 1024 * 1024
export const ACCOUNT_LIMITS: { key: AccountLimits; address: AccountLimits } = {
  key: { connections: 4_000, bytes: 24 * MIB, messagesASecond: 1_000, watchedTasks: 10_000, transfers: 200 },
  // Many clients behind a proxy have the same address.
  address: { connections: 8_000, bytes: 48 * MIB, messagesASecond: 2_000, watchedTasks: 20_000, transfers: 400 },
}
/** After a restart of a gateway, all pages send their requests at once. */
const BURST_S = 5
/** How old the count of unread bytes may be, in milliseconds. */
const UNREAD_MS = 50

interface HeldView {
  shares: number
  bytes: () => number
}

/** What the connections with one key, or from one address, hold. */
class Account {
  readonly name: string
  readonly allowed: () => boolean
  readonly #sockets = new Set<Socket>()
  readonly #whose: string
  readonly #limits: AccountLimits
  readonly #views = new Map<string, HeldView>()
  #watched = 0
  #transfers = 0
  #unreadBytes = 0
  #unreadAt = Number.NEGATIVE_INFINITY

  constructor(name: string, whose: string, limits: AccountLimits) {
    this.name = name
    this.#whose = whose
    this.#limits = limits
    this.allowed = tokenBucket(limits.messagesASecond, limits.messagesASecond * BURST_S)
  }

  enter(socket: Socket): void {
    this.#sockets.add(socket)
  }

  /** @returns whether no connection is left */
  leave(socket: Socket): boolean {
    this.#sockets.delete(socket)
    return this.unused
  }

  /** Whether nothing is counted any more. */
  get unused(): boolean {
    return this.#sockets.size === 0 && this.#transfers === 0
  }

  take(id: string, bytes: () => number): void {
    const held = this.#views.get(id)
    if (held === undefined) this.#views.set(id, { shares: 1, bytes })
    else held.shares += 1
  }

  give(id: string): void {
    const held = this.#views.get(id)
    if (held === undefined) return
    held.shares -= 1
    if (held.shares === 0) this.#views.delete(id)
  }

  /** @throws {FleetError} `TOO_MANY_CONNECTIONS` */
  checkConnections(): void {
    const { connections } = this.#limits
    if (this.#sockets.size < connections) return
    throw new FleetError('TOO_MANY_CONNECTIONS', `At most ${connections} connections ${this.#whose}`)
  }

  /** @throws {FleetError} `TOO_MANY_BYTES` */
  checkBytes(): void {
    const { bytes } = this.#limits
    let sum = 0
    for (const held of this.#views.values()) sum += held.bytes()
    if (sum + this.#unread() <= bytes) return
    const most = `At most ${bytes / MIB} MiB of live queries and unread answers ${this.#whose}`
    throw new FleetError(
      'TOO_MANY_BYTES',
      `${most}: read faster, unsubscribe from some, ask for fewer fields, or set a smaller limit`,
    )
  }

  /** @throws {FleetError} `TOO_MANY_WATCHES` */
  checkWatched(): void {
    const { watchedTasks } = this.#limits
    if (this.#watched < watchedTasks) return
    throw new FleetError('TOO_MANY_WATCHES', `At most ${watchedTasks} watched tasks ${this.#whose}`)
  }

  /** @throws {FleetError} `TOO_MANY_CONNECTIONS` */
  checkTransfers(): void {
    const { transfers } = this.#limits
    if (this.#transfers < transfers) return
    throw new FleetError('TOO_MANY_CONNECTIONS', `At most ${transfers} files at the same time ${this.#whose}`)
  }

  countTransfers(change: 1 | -1): void {
    this.#transfers += change
  }

  countWatched(change: 1 | -1): void {
    this.#watched += change
  }

  /** How many bytes its clients have not read. Counted at intervals, since many requests may come at once. */
  #unread(): number {
    const now = performance.now()
    if (now - this.#unreadAt > UNREAD_MS) {
      this.#unreadAt = now
      // Namespaces of one client share its connection, and what waits for it.
      const connections = new Map([...this.#sockets].map((socket) => [socket.conn, socket]))
      this.#unreadBytes = [...connections.values()].reduce((sum, socket) => sum + waitingBytes(socket), 0)
    }
    return this.#unreadBytes
  }
}

/** The accounts of all open connections: one for the key, one for the address. */
export class Accounts {
  readonly #limits: typeof ACCOUNT_LIMITS
  readonly #accounts = new Map<string, Account>()
  readonly #ofSocket = new Map<Socket, readonly Account[]>()

  constructor(limits = ACCOUNT_LIMITS) {
    this.#limits = limits
  }

  /** Checks whether one more connection is allowed. @throws {FleetError} `TOO_MANY_CONNECTIONS` */
  check(key: string, address: string): void {
    for (const name of namesOf(key, address)) this.#accounts.get(name)?.checkConnections()
  }

  /** Counts a connection until it ends. */
  enter(socket: Socket, key: string): void {
    const accounts = this.#accountsOf(key, socket.handshake.address)
    for (const account of accounts) account.enter(socket)
    this.#ofSocket.set(socket, accounts)
  }

  leave(socket: Socket): void {
    for (const account of this.of(socket)) if (account.leave(socket)) this.#accounts.delete(account.name)
    this.#ofSocket.delete(socket)
  }

  /** Checks whether one more answer is allowed. @throws {FleetError} `TOO_MANY_BYTES` */
  checkBytes(socket: Socket): void {
    for (const account of this.of(socket)) account.checkBytes()
  }

  /** Counts one more watched task of a connection. @throws {FleetError} `TOO_MANY_WATCHES` */
  takeWatched(socket: Socket): void {
    for (const account of this.of(socket)) account.checkWatched()
    for (const account of this.of(socket)) account.countWatched(1)
  }

  giveWatched(socket: Socket): void {
    for (const account of this.of(socket)) account.countWatched(-1)
  }

  of(socket: Socket): readonly Account[] {
    return this.#ofSocket.get(socket) ?? []
  }

  /** Whether a message may be sent now. */
  allowed(socket: Socket): boolean {
    return this.of(socket).every(({ allowed }) => allowed())
  }

  /** Counts one more file that is sent, until the returned function is called. @throws {FleetError} `TOO_MANY_CONNECTIONS` */
  enterTransfer(key: string, address: string): () => void {
    const accounts = this.#accountsOf(key, address)
    for (const account of accounts) account.checkTransfers()
    for (const account of accounts) account.countTransfers(1)
    return () => {
      for (const account of accounts) {
        account.countTransfers(-1)
        if (account.unused) this.#accounts.delete(account.name)
      }
    }
  }

  #accountsOf(key: string, address: string): readonly Account[] {
    const [ofKey, ofAddress] = namesOf(key, address)
    return [
      this.#account(ofKey, 'with one key', this.#limits.key),
      this.#account(ofAddress, 'from one address', this.#limits.address),
    ]
  }

  #account(name: string, whose: string, limits: AccountLimits): Account {
    const account = this.#accounts.get(name) ?? new Account(name, whose, limits)
    this.#accounts.set(name, account)
    return account
  }
}

const namesOf = (key: string, address: string): [string, string] => [`key ${key}`, `address ${networkOf(address)}`]
