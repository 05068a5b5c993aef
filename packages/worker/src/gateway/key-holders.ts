import { asError, LOCAL } from '@taskfleet/core'
import type { Logger } from 'pino'
import type { Socket } from 'socket.io'
import type { Access } from './access.ts'

/** The open connections by the key that they rest on: they are cut soon after it is revoked or has expired. */
export class KeyHolders {
  readonly #access: Access
  readonly #log: Logger
  readonly #everyMs: number
  readonly #sockets = new Map<Socket, { key: string; expiresAt?: Date | undefined }>()
  readonly #now: () => Date
  #timer: NodeJS.Timeout | undefined

  constructor(access: Access, options: { log: Logger; everyMs: number; now: () => Date }) {
    this.#access = access
    this.#log = options.log
    this.#everyMs = options.everyMs
    this.#now = options.now
  }

  start(): void {
    this.#timer = setInterval(() => {
      this.#check().catch((error: unknown) => this.#log.warn({ err: asError(error) }, 'keys could not be checked'))
    }, this.#everyMs)
  }

  stop(): void {
    clearInterval(this.#timer)
  }

  /** @param expiresAt when the token itself ends, be its key good or not */
  add(socket: Socket, key: string, expiresAt?: Date): void {
    this.#sockets.set(socket, { key, expiresAt })
    socket.on('disconnect', () => this.#sockets.delete(socket))
  }

  async #check(): Promise<void> {
    if (this.#sockets.size === 0) return
    const held = new Set([...this.#sockets.values()].map(({ key }) => key))
    const valid = await this.#access.keys.valid([...held])
    // Who came in while there was no key at all must show one as soon as there is.
    if (held.has(LOCAL.id) && !(await this.#access.locked())) valid.add(LOCAL.id)
    const now = this.#now()
    for (const [socket, { key, expiresAt }] of this.#sockets) {
      const expired = expiresAt !== undefined && expiresAt <= now
      if (!expired && (!held.has(key) || valid.has(key))) continue
      this.#log.info(
        { key, code: expired ? 'TOKEN_EXPIRED' : 'REVOKED' },
        'a connection is cut: it may not be here any more',
      )
      socket.disconnect()
    }
  }
}
