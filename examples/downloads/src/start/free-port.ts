import { once } from 'node:events'
import { createServer } from 'node:net'
import { portInUse } from '@taskfleet/gateway/internal'

/**
 * Tells before anything is started that the monitor's port is taken.
 *
 * @throws {FleetError} `EADDRINUSE` with who holds it, where the system tells
 */
export async function requireFreePort(port: number): Promise<void> {
  const server = createServer()
  try {
    server.listen(port, '127.0.0.1')
    await once(server, 'listening')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error
    throw await portInUse({ host: '127.0.0.1', port }, '--port, such as --port 4200 (0 picks a free one)', error)
  } finally {
    server.close()
  }
}
