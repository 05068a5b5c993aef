import { FleetClient } from '@taskfleet/client'
import { type CollectionName, type CollectionRows, FleetError, type TaskRow } from '@taskfleet/protocol'
import type { CollectionQuery, FleetView, QueueCounts, RowsSeen } from './fleet-view.ts'

/** Every field of a task: rows leave heavy ones out unless they are requested. */
const TASK_FIELDS =
  'name version input output status queue priority basePriority runAt order deadline raiseAt deadlineMissedAt lazy attempt failures lost maxAttempts retry timeout totalTimeout stall checkpointAttempt attempts attemptsDropped worker publicUrl control progress checkpoint error key parent after replayOf schedule event createdAt updatedAt claimedAt startedAt finishedAt expireAt'.split(
    ' ',
  )

/**
 * Resolves when the gateway has accepted the connection and sent its time.
 *
 * @throws {FleetError} `BAD_ADDRESS`, `NO_SERVER`, or what it refuses with, such as `UNAUTHENTICATED`
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

/** A gateway's address with its base path and nothing behind that. @throws {FleetError} `BAD_ADDRESS` */
export function gatewayUrl(server: string): string {
  const wanted = 'a gateway has an address such as http://host:4100'
  if (!URL.canParse(server)) throw new FleetError('BAD_ADDRESS', `'${server}' is no address: ${wanted}`)
  const { protocol, origin, pathname, search, hash, username, password } = new URL(server)
  if (hash !== '' || username !== '' || password !== '') {
    throw new FleetError('BAD_ADDRESS', `The key is not part of the address: ${wanted}, its key is TASKFLEET_KEY`)
  }
  if (!/^https?:$/.test(protocol) || search !== '') {
    throw new FleetError('BAD_ADDRESS', `'${server}' is no gateway's address: ${wanted}`)
  }
  return `${origin}${pathname.replace(/\/+$/, '')}`
}

function unreachable(url: string, error: Error & { code?: string }): FleetError {
  if (error.code === 'UNREACHABLE') return new FleetError('NO_SERVER', error.message, { cause: error })
  return new FleetError('REFUSED', `The gateway at ${url} does not take requests by that name: ${error.message}`)
}

/** Through a gateway's socket. */
export class GatewayView implements FleetView {
  readonly #client: FleetClient
  readonly #onRefused: (error: FleetError) => void

  /** @param onRefused called when the key has lost the right to what is watched */
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

  async watchRows<N extends CollectionName>(query: CollectionQuery<N>, seen: RowsSeen<N>): Promise<void> {
    await this.#client.subscribe<N>(query, seen, this.#onRefused)
  }

  async task(id: string): Promise<TaskRow | undefined> {
    const [task] = await this.rows({ collection: 'tasks', filter: { _id: id }, limit: 1, fields: TASK_FIELDS })
    return task
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
