import { once } from 'node:events'
import { createServer } from 'node:net'

/** Whether nothing listens on the port of 127.0.0.1. */
export async function isFree(port: number): Promise<boolean> {
  const server = createServer()
  try {
    server.listen(port, '127.0.0.1')
    await once(server, 'listening')
    return true
  } catch {
    return false
  } finally {
    server.close()
  }
}

/**
 * A free port below the range from which systems take the ports of outgoing connections: while a database is down, a
 * client that tries such a port again and again can end up connected to itself and keep the port from the database.
 */
export async function freePort(random: () => number = Math.random): Promise<number> {
  for (;;) {
    const port = 20_000 + Math.floor(random() * 12_000)
    if (await isFree(port)) return port
  }
}
