import { FleetClient } from '@taskfleet/client'
import { type CollectionName, type CollectionRows, FleetError } from '@taskfleet/protocol'
import type { CollectionQuery, FleetView, QueueCounts, RowsSeen } from './fleet-view.ts'

/**
 * Resolves when the gateway has accepted the connection and sent its time.
 *
 * @throws {FleetError} `BAD_ADDRESS`, `NO_SERVER`, or the gateway's own code, such as `UNAUTHENTICATED`
 */
export async function connectGateway(server: string, token: string | undefined): Promise<FleetClient> {
  const url = gatewayUrl(server)
  const client = new FleetClient({ url, ...(token === undefined ? {} : { token }) })
  try {
    await new Promise<void>((resolve, reject) => {
      client.onState((state, error) => {
        if (state === 'live') resolve()
        else if (state === 'refused') reject(error)
        else if (error !== undefined) reject(unreachable(url, error))
      })
    })
    await client.welcomed()
    return client
  } catch (error) {
    client.close()
    throw error
  }
}

/** A gateway's address with its base path and nothing after it. @throws {FleetError} `BAD_ADDRESS` */
export function gatewayUrl(server: string): string {
  const wanted = 'the address of a gateway is like http://host:4100'
  if (!URL.canParse(server)) throw new FleetError('BAD_ADDRESS', `'${server}' is not an address: ${wanted}`)
  const { protocol, origin, pathname, search, hash, username, password } = new URL(server)
  if (hash !== '' || username !== '' || password !== '') {
    throw new FleetError(
      'BAD_ADDRESS',
      `The key is not part of the address: ${wanted}, and the key goes in TASKFLEET_KEY`,
    )
  }
  if (!/^https?:$/.test(protocol) || search !== '') {
    throw new FleetError('BAD_ADDRESS', `'${server}' is not the address of a gateway: ${wanted}`)
  }
  return `${origin}${pathname.replace(/\/+$/, '')}`
}

function unreachable(url: string, error: Error & { code?: string }): FleetError {
  if (error.code === 'UNREACHABLE') return new FleetError('NO_SERVER', error.message, { cause: error })
  return new FleetError(
    'REFUSED',
    `The gateway at ${url} does not accept requests under that host name: ${error.message}`,
  )
}

export class GatewayView implements FleetView {
  readonly #client: FleetClient
  readonly #onRefused: (error: FleetError) => void

  /** @param onRefused called when the key loses its permission for the query */
  constructor(client: FleetClient, onRefused: (error: FleetError) => void = () => undefined) {
    this.#client = client
    this.#onRefused = onRefused
  }

  async rows<N extends CollectionName>(query: CollectionQuery<N>): Promise<CollectionRows[N][]> {
    const live = await this.#client.subscribe<N>(query, () => undefined)
    const { rows } = live
    await live.close()
    return [...rows]
  }

  async watchRows<N extends CollectionName>(query: CollectionQuery<N>, seen: RowsSeen<N>): Promise<() => void> {
    const live = await this.#client.subscribe<N>(query, seen, this.#onRefused)
    return () => void live.close()
  }

  async queueCounts(): Promise<QueueCounts> {
    const figures = await this.#client.subscribeStats({}, () => undefined)
    const { byQueue } = figures.stats
    await figures.close()
    return byQueue
  }

  now(): number {
    return Date.now() + this.#client.clockOffset
  }
}
