import type { OnReadOpts, Socket } from 'node:net'
import { TLSSocket } from 'node:tls'
import { HeadTidier } from './head-tidier.ts'

/** As much as Node itself reads at once. */
const PIECE = 2 ** 16

/** Where the bytes of a body are received without a copy. */
export interface Landing {
  /** `undefined` when no more bytes are wanted. */
  space(): Uint8Array | undefined
  /** Takes in what was received in `space`. @returns false to be kept waiting until `release` */
  filled(count: number): boolean
  /** Takes in what was received elsewhere; it is good for this call only. @returns false to be kept waiting until `release` */
  write(chunk: Buffer): boolean
}

/**
 * A socket whose reader can be kept waiting without knowing of it. undici's own pause is no good for that: in version 7 a
 * connection that ends while its parser is paused fails an assertion inside the socket's event, which nothing can catch. Here
 * the parser is never paused; it only finds nothing to read, and the socket fills up and keeps the server back.
 *
 * The body can pass by the parser as well: the system then receives it right in the reader's own memory.
 */
export class HeldSocket {
  /** For the socket's constructor. */
  readonly onread: OnReadOpts & { buffer: () => Uint8Array } = {
    buffer: () => this.#body?.space() ?? this.#piece,
    callback: (count, buffer) => this.#landed(count, buffer as Uint8Array),
  }
  readonly #piece = Buffer.allocUnsafeSlow(PIECE)
  readonly #early: Buffer[] = []
  readonly #head = new HeadTidier()
  #socket: Socket | undefined
  #landing: Landing | undefined
  /** Set once the parser has taken all that came before. */
  #body: Landing | undefined
  #held = false
  #failure: Error | undefined
  #ended: Promise<Error | undefined> | undefined

  attach(socket: Socket): void {
    this.#socket = socket
    const read = socket.read.bind(socket)
    socket.read = (size?: number) => {
      // Reading nothing is how Node itself goes on filling the buffer.
      if (size === 0) return read(size)
      if (this.#held) return null
      for (;;) {
        const chunk = read(size)
        if (chunk === null) {
          this.#body ??= this.#landing
          return null
        }
        const tidy = this.#head.take(chunk)
        if (tidy.length > 0) return tidy
      }
    }
    // Before undici's own, which makes an end of it.
    socket.prependListener('error', (error) => {
      this.#failure ??= error
    })
    // A reset that came while nothing was read looks like an orderly end to Node, but nothing can be written any more: writing
    // nothing at all tells which it was. TLS has an end of its own.
    if (!(socket instanceof TLSSocket)) {
      socket.prependListener('end', () => {
        this.#ended = new Promise((resolve) => socket.write('', (error) => resolve(error ?? undefined)))
      })
    }
    for (const chunk of this.#early.splice(0)) socket.push(chunk)
  }

  /** Leads the rest of the body past the parser. */
  land(landing: Landing): void {
    this.#landing = landing
  }

  hold(): void {
    this.#held = true
  }

  release(): void {
    if (!this.#held) return
    this.#held = false
    // Not within the parser, should it be what let go.
    process.nextTick(() => this.#socket?.emit('readable'))
  }

  /** What the connection itself failed with. A reset is a failure, though HTTP may take it for the end of a body. */
  async failed(): Promise<Error | undefined> {
    return this.#failure ?? (await this.#ended)
  }

  #landed(count: number, buffer: Uint8Array): boolean {
    if (buffer !== this.#piece) return this.#body?.filled(count) ?? false
    const chunk = this.#piece.subarray(0, count)
    if (this.#body) return this.#body.write(chunk)
    if (this.#socket) return this.#socket.push(Buffer.from(chunk))
    this.#early.push(Buffer.from(chunk))
    return true
  }
}
