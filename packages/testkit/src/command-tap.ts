import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'

const HEADER_BYTES = 16
/** https://github.com/mongodb/specifications/blob/master/source/message/OP_MSG.md */
const OP_MSG = 2013
/** Where the name of the first field of an `OP_MSG` stands: after the header, the flags, a section's kind, a length and a type. */
const FIRST_NAME = HEADER_BYTES + 4 + 1 + 4 + 1
const TEXT = 2

/** What has passed since it was last taken. */
export interface Tapped {
  /** How often each command was sent, by its name and collection. */
  commands: Map<string, number>
  /** How many are open now. */
  connections: number
  sentBytes: number
  receivedBytes: number
}

/**
 * Stands between a process and the database, and counts what it sends. Unlike the driver's own events it sees every connection: those
 * for data, for the change stream and for monitoring, and the thread that renews the session.
 */
export class CommandTap {
  #tapped = nothing()
  #connections = 0

  /**
   * @param defer its argument is called at the end
   * @returns the tap, and the address that goes through it
   */
  static async start({
    uri: address,
    defer,
  }: {
    uri: string
    defer: (end: () => unknown) => void
  }): Promise<{ tap: CommandTap; uri: string }> {
    const tap = new CommandTap()
    const target = new URL(address)
    const open = new Set<Socket>()
    const server = createServer((client) => {
      const upstream = connect(Number(target.port || 27_017), target.hostname)
      const read = tap.#reader()
      tap.#connections += 1
      client.on('close', () => (tap.#connections -= 1))
      client.on('data', (bytes: Buffer) => {
        read(bytes)
        upstream.write(bytes)
      })
      upstream.on('data', (bytes: Buffer) => {
        tap.#tapped.receivedBytes += bytes.length
        client.write(bytes)
      })
      for (const [one, other] of [
        [client, upstream],
        [upstream, client],
      ] as const) {
        open.add(one)
        one.on('error', () => other.destroy())
        one.on('close', () => {
          open.delete(one)
          other.destroy()
        })
      }
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    defer(() => {
      server.close()
      for (const socket of open) socket.destroy()
    })
    const uri = new URL(address)
    uri.host = `127.0.0.1:${(server.address() as AddressInfo).port}`
    // Otherwise the driver would go on with the address that the server says of itself. A fleet accepts it for a set of one member.
    uri.searchParams.set('directConnection', 'true')
    return { tap, uri: uri.href }
  }

  take(): Tapped {
    const tapped = { ...this.#tapped, connections: this.#connections }
    this.#tapped = nothing()
    return tapped
  }

  /** Cuts what one connection sends into messages. */
  #reader(): (bytes: Buffer) => void {
    let kept: Buffer = Buffer.alloc(0)
    return (bytes) => {
      this.#tapped.sentBytes += bytes.length
      kept = kept.length === 0 ? bytes : Buffer.concat([kept, bytes])
      while (kept.length >= HEADER_BYTES && kept.length >= kept.readInt32LE(0)) {
        const length = kept.readInt32LE(0)
        const command = commandOf(kept.subarray(0, length))
        this.#tapped.commands.set(command, (this.#tapped.commands.get(command) ?? 0) + 1)
        kept = kept.subarray(length)
      }
    }
  }
}

const nothing = (): Omit<Tapped, 'connections'> => ({ commands: new Map(), sentBytes: 0, receivedBytes: 0 })

function commandOf(message: Buffer): string {
  // The first message of a connection, by which the versions are compared.
  if (message.readInt32LE(12) !== OP_MSG) return 'hello'
  const end = message.indexOf(0, FIRST_NAME)
  const name = message.toString('utf8', FIRST_NAME, end)
  if (message[FIRST_NAME - 1] !== TEXT) return name
  const length = message.readInt32LE(end + 1)
  return `${name} ${message.toString('utf8', end + 5, end + 4 + length)}`
}
