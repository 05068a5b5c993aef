import { FleetError } from '@taskfleet/protocol'
import type { ListenAddress } from './gateway.ts'
import { portHolder } from './port-holder.ts'

/**
 * The error for an address that another process listens on. It names the process, if the system shows it.
 *
 * @param remedy how to choose another port, such as `--port 4200`
 * @returns an error with the code `EADDRINUSE`
 */
export async function portInUse({ host, port }: ListenAddress, remedy: string, cause?: unknown): Promise<FleetError> {
  const holder = await portHolder(port)
  const by = holder === undefined ? 'another process' : `process ${holder.pid}${named(holder.command)}`
  const address = `${host.includes(':') ? `[${host}]` : host}:${port}`
  return new FleetError(
    'EADDRINUSE',
    `${address} is in use by ${by}. Stop it, or choose another port with ${remedy}.`,
    {
      cause,
    },
  )
}

const named = (command: string): string => (command === '' ? '' : ` (${command})`)
