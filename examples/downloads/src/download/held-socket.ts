import type { Socket } from 'node:net'

/**
 * A socket whose reader can be kept waiting without knowing of it. undici's own pause is no good for that: in version 7 a
 * connection that ends while its parser is paused fails an assertion inside the socket's event, which nothing can catch. Here
 * the parser is never paused; it only finds nothing to read, and the socket fills up and keeps the server back.
 */
export interface HeldSocket {
  hold(): void
  release(): void
  /** What the connection itself failed with. A reset is one, though HTTP may take it for the end of a body. */
  readonly failure: Error | undefined
}

export function heldSocket(socket: Socket): HeldSocket {
  const read = socket.read.bind(socket)
  let held = false
  let failure: Error | undefined
  // Reading nothing is how Node itself goes on filling the buffer.
  socket.read = (size?: number) => (held && size !== 0 ? null : read(size))
  // Before undici's own, which makes an end of it.
  socket.prependListener('error', (error) => {
    failure ??= error
  })
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
    get failure() {
      return failure
    },
  }
}
