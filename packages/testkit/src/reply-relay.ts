import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'

/** Requests of clients, or their answers. */
type Way = 'asked' | 'answered'

/**
 * A relay between clients and a MongoDB server. It loses replies: the server executes a command, and the connection breaks
 * before the client gets the answer. It disconnects its clients, like an election. And it stalls, like a broken network: data sent
 * one way, or both ways, arrives once it is healed.
 */
export class ReplyRelay {
  readonly #target: { host: string; port: number }
  readonly #server: Server
  readonly #open = new Set<Socket>()
  #cut = false
  readonly #stalled = new Set<Way>()
  readonly #links = new Set<Record<Way, Socket>>()
  /** The commands whose next replies are lost, and how many. */
  #losing: { commands: readonly Buffer[]; left: number } | undefined

  constructor(uri: string) {
    const { hostname, port } = new URL(uri)
    this.#target = { host: hostname, port: Number(port || 27_017) }
    this.#server = createServer((client) => this.#relay(client))
  }

  /** @returns the address that goes through this relay */
  async start(uri: string): Promise<string> {
    this.#server.listen(0, '127.0.0.1')
    await once(this.#server, 'listening')
    const address = new URL(uri)
    address.host = `127.0.0.1:${(this.#server.address() as AddressInfo).port}`
    // The driver would connect to the members of the set without the relay.
    address.searchParams.set('directConnection', 'true')
    return address.href
  }

  /** Loses the next replies to commands of these names. */
  lose(names: readonly string[], times = 1): void {
    this.#losing = { commands: names.map((name) => Buffer.from(`${name}\0`)), left: times }
  }

  /** From now on no client reaches the server: connections break, and new ones fail. */
  cut(): void {
    this.#cut = true
    for (const socket of this.#open) socket.destroy()
  }

  /** From now on no data passes this way, but nothing breaks: connections open and stay open. */
  stall(...ways: Way[]): void {
    for (const way of ways) {
      this.#stalled.add(way)
      for (const link of this.#links) link[way].pause()
    }
  }

  heal(): void {
    this.#cut = false
    for (const way of this.#stalled) for (const link of this.#links) link[way].resume()
    this.#stalled.clear()
  }

  /** How many replies will still be lost. */
  get left(): number {
    return this.#losing?.left ?? 0
  }

  async stop(): Promise<void> {
    const closed = once(this.#server, 'close')
    this.#server.close()
    for (const socket of this.#open) socket.destroy()
    await closed
  }

  #relay(client: Socket): void {
    if (this.#cut) {
      client.destroy()
      return
    }
    const server = connect(this.#target.port, this.#target.host)
    const link = { asked: client, answered: server }
    this.#links.add(link)
    let lost = false
    const end = (): void => {
      this.#links.delete(link)
      client.destroy()
      server.destroy()
    }
    for (const socket of [client, server]) {
      this.#open.add(socket)
      socket.on('error', end)
      socket.on('close', () => {
        this.#open.delete(socket)
        end()
      })
    }
    client.on('data', (asked: Buffer) => {
      const losing = this.#losing
      if (losing !== undefined && losing.left > 0 && losing.commands.some((name) => startsWith(asked, name))) {
        losing.left -= 1
        lost = true
      }
      server.write(asked)
    })
    server.on('data', (answer: Buffer) => {
      if (lost) end()
      else client.write(answer)
    })
    for (const way of this.#stalled) link[way].pause()
  }
}

/** The name of a command is the first key of its document, which is within the first bytes of its message. */
const HEAD_BYTES = 64
const startsWith = (message: Buffer, name: Buffer): boolean => message.subarray(0, HEAD_BYTES).includes(name)
