import type { Socket } from 'node:net'
import { TLSSocket } from 'node:tls'

/**
 * A socket whose reader can be kept waiting without knowing of it. undici's own pause is no good for that: in version 7 a
 * connection that ends while its parser is paused fails an assertion inside the socket's event, which nothing can catch. Here
 * the parser is never paused; it only finds nothing to read, and the socket fills up and keeps the server back.
 */
export interface HeldSocket {
  hold(): void
  release(): void
  /** What the connection itself failed with. A reset is a failure, though HTTP may take it for the end of a body. */
  failed(): Promise<Error | undefined>
}

export function heldSocket(socket: Socket): HeldSocket {
  const read = socket.read.bind(socket)
  let held = false
  let failure: Error | undefined
  let ended: Promise<Error | undefined> | undefined
  // Reading nothing is how Node itself goes on filling the buffer.
  socket.read = (size?: number) => (held && size !== 0 ? null : read(size))
  // Before undici's own, which makes an end of it.
  socket.prependListener('error', (error) => {
    failure ??= error
  })
  // A reset that came while nothing was read looks like an orderly end to Node, but nothing can be written any more: writing
  // nothing at all tells which it was. TLS has an end of its own.
  if (!(socket instanceof TLSSocket)) {
    socket.prependListener('end', () => {
      ended = new Promise((resolve) => socket.write('', (error) => resolve(error ?? undefined)))
    })
  }
  return {
    hold: () => {
      held = true
    },
    release: () => {
      if (!held) return
      held = false
      // Not within the parser, should it be what let go.
      process.nextTick(() => socket.emit('readable'))
    },
    failed: async () => failure ?? (await ended),
  }
}
