import { asError, LOCAL } from '@taskfleet/core'
import type { Logger } from 'pino'
import type { Socket } from 'socket.io'
import type { Access } from './access.ts'

/** The open connections by the key that they rest on: they are cut soon after it is revoked or has expired. */
export class KeyHolders {
  readonly #access: Access
  readonly #log: Logger
  readonly #everyMs: number
  readonly #sockets = new Map<Socket, string>()
  #timer: NodeJS.Timeout | undefined

  constructor(access: Access, options: { log: Logger; everyMs: number }) {
    this.#access = access
    this.#log = options.log
    this.#everyMs = options.everyMs
  }

  start(): void {
    this.#timer = setInterval(() => {
      this.#check().catch((error: unknown) => this.#log.warn({ err: asError(error) }, 'keys could not be checked'))
    }, this.#everyMs)
  }

  stop(): void {
    clearInterval(this.#timer)
  }

  add(socket: Socket, keyId: string): void {
    this.#sockets.set(socket, keyId)
    socket.on('disconnect', () => this.#sockets.delete(socket))
  }

  async #check(): Promise<void> {
    if (this.#sockets.size === 0) return
    const held = new Set(this.#sockets.values())
    const valid = await this.#access.keys.valid([...held])
    // Who came in while there was no key at all must show one as soon as there is.
    if (held.has(LOCAL.id) && !(await this.#access.locked())) valid.add(LOCAL.id)
    for (const [socket, keyId] of this.#sockets) {
      if (!held.has(keyId) || valid.has(keyId)) continue
      this.#log.info({ key: keyId, code: 'REVOKED' }, 'a connection is cut: its key is no longer good')
      socket.disconnect()
    }
  }
}
