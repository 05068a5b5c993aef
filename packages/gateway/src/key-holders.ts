import { LOCAL, type Principal } from '@taskfleet/core'
import { Service, sameRights, WatchLoop } from '@taskfleet/core/internal'
import type { Logger } from 'pino'
import type { Socket } from 'socket.io'
import type { Access } from './access.ts'

/** How long a change of keys may keep its connection open. */
const CHANGE_MS = 5_000

interface Held {
  /** What the connection was let in with. */
  principal: Principal
  expiresAt: Date | undefined
}

/**
 * The open connections by the key that they rest on. They are cut soon after it is revoked, has expired or may other things
 * than it did: whoever still may come back does so at once, with what the key may now.
 */
export class KeyHolders extends Service {
  readonly #access: Access
  readonly #log: Logger
  readonly #everyMs: number
  readonly #sockets = new Map<Socket, Held>()
  readonly #now: () => Date
  /** Connections that are changing keys at the moment. */
  readonly #changing = new Set<Socket>()

  constructor(access: Access, options: { log: Logger; everyMs: number; now: () => Date }) {
    super()
    this.#access = access
    this.#log = options.log
    this.#everyMs = options.everyMs
    this.#now = options.now
  }

  protected override async onStart(): Promise<void> {
    const checks = { look: () => this.#check(), everyMs: this.#everyMs, log: this.#log }
    await this.use(new WatchLoop({ ...checks, failed: 'keys could not be checked' }))
  }

  /** @param expiresAt when the token itself ends, be its key good or not */
  add(socket: Socket, principal: Principal, expiresAt?: Date): void {
    this.#sockets.set(socket, { principal, expiresAt })
    socket.on('disconnect', () => this.#sockets.delete(socket))
  }

  /** The token that the connection rests on was replaced by one that ends later. */
  extend(socket: Socket, expiresAt: Date): void {
    const held = this.#sockets.get(socket)
    if (held?.expiresAt !== undefined && held.expiresAt < expiresAt) held.expiresAt = expiresAt
  }

  /**
   * Lets a connection get the answer to a change of keys before that change cuts it: the token of a fleet's first key is shown in no
   * other place.
   */
  async whileChanging<T>(socket: Socket, change: Promise<T>): Promise<T> {
    this.#changing.add(socket)
    const tooLong = setTimeout(() => this.#changing.delete(socket), CHANGE_MS)
    try {
      return await change
    } finally {
      clearTimeout(tooLong)
      this.#changing.delete(socket)
    }
  }

  async #check(): Promise<void> {
    if (this.#sockets.size === 0) return
    const looked = [...this.#sockets]
    const present = await this.#access.keys.principals([...new Set(looked.map(([, { principal }]) => principal.id))])
    // Who came in while there was no key at all must show one as soon as there is.
    if (!(await this.#access.locked())) present.set(LOCAL.id, LOCAL)
    const now = this.#now()
    for (const [socket, held] of looked) {
      const code = whyCut(held, present.get(held.principal.id), now)
      if (code === undefined || this.#changing.has(socket)) continue
      this.#log.info({ key: held.principal.id, code }, 'a connection is cut: its key may not what it did')
      socket.disconnect()
    }
  }
}

/** @param present what the key may do now; undefined when it may not be used any more */
function whyCut({ principal, expiresAt }: Held, present: Principal | undefined, now: Date): string | undefined {
  if (expiresAt !== undefined && expiresAt <= now) return 'TOKEN_EXPIRED'
  if (present === undefined) return 'REVOKED'
  return sameRights(principal, present) ? undefined : 'RIGHTS_CHANGED'
}
