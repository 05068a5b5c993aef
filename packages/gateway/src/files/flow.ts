import { pipeline, type Readable, Transform } from 'node:stream'

export interface FlowOptions {
  /** Bytes that must come; fewer end the connection, so that the client notices. */
  bytes: number
  /** How long nothing may pass, in milliseconds. */
  idleMs: number
}

/**
 * Passes a body on as fast as its client reads. It ends with an error when its source is short, or when nothing has passed for a while: a client
 * that has stopped reading must not hold a file for ever. It can go on with a range. When the client leaves, the source is closed.
 */
export function flowing(source: Readable, { bytes, idleMs }: FlowOptions): Readable {
  let passed = 0
  const flow = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      idle.refresh()
      passed += chunk.length
      done(null, chunk)
    },
    flush(done) {
      done(passed === bytes ? null : new Error(`the file ended after ${passed} of ${bytes} bytes`))
    },
  })
  const idle = setTimeout(() => flow.destroy(new Error(`nothing has passed for ${idleMs} ms`)), idleMs)
  idle.unref()
  // The error reaches the answer by `flow` itself.
  pipeline(source, flow, () => undefined)
  flow.once('close', () => clearTimeout(idle))
  return flow
}
