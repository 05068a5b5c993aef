import type { FleetClient } from '@taskfleet/client'
import { durationText, FleetError, VERSION } from '@taskfleet/protocol'
import { tokenOf } from './address.ts'
import type { Check } from './doctor.ts'
import { documentsText } from './doctor-documents.ts'
import { secretText } from './doctor-secret.ts'
import { connectGateway, GatewayView, gatewayUrl } from './gateway-view.ts'
import type { CommonOptions } from './options.ts'
import { versionsText } from './text.ts'

const HEALTH_MS = 10_000
/** From this difference on, a date given here would be another time for the fleet. */
const CLOCK_OFF_MS = 60_000

/** Checks each step of a command through a gateway. */
export async function checkGateway(server: string, options: CommonOptions, check: Check): Promise<void> {
  const reached = await check('gateway', async () => {
    const { version } = await health(gatewayUrl(server), 'live')
    const both =
      version === VERSION
        ? `version ${version}, the same as this command`
        : `version ${version}; this command has ${VERSION}`
    return `${gatewayUrl(server)} accepts requests under this host name, ${both}`
  })
  if (!reached) return
  await check('database', async () => {
    await health(gatewayUrl(server), 'ready')
    return 'reachable from the gateway'
  })
  let token: string | undefined
  const known = await check('key', async () => {
    token = await tokenOf(options)
    await tryKey(gatewayUrl(server), token)
    return token === undefined ? 'none is needed: the fleet has no key yet' : 'is valid'
  })
  if (!known) return
  let client: FleetClient | undefined
  await check('websocket', async () => {
    client = await connectGateway(server, token)
    const { scopes } = await client.welcomed()
    return `is open, with the scopes ${scopes.join(', ')}`
  })
  if (client === undefined) return
  const open: FleetClient = client
  try {
    await check('clock', async () => clockText(open.clockOffset))
    const { scopes } = await open.welcomed()
    if (scopes.includes('read') || scopes.includes('admin')) {
      const view = new GatewayView(open)
      await check('secret', async () => {
        const filter = { state: { $in: ['running', 'draining'] } }
        return secretText(await view.rows({ collection: 'workers', filter, limit: 1_000 }))
      })
      await check('workers', () => workersText(view))
      await checkSetAside(open, check)
    }
  } finally {
    open.close()
  }
}

/** A key that is limited to some queues may not read it. */
async function checkSetAside(client: FleetClient, check: Check): Promise<void> {
  const answer = await client.documents.list().catch((error: unknown) => error as Error)
  if (answer instanceof FleetError && (answer.code === 'FORBIDDEN' || answer.code === 'NOT_FOUND')) return
  await check('documents', async () => {
    if (answer instanceof Error) throw answer
    return documentsText(answer)
  })
}

/** @throws {FleetError} the code with which the key is refused */
async function tryKey(url: string, token: string | undefined): Promise<void> {
  const answer = await fetch(`${url}/api/v1/audit?limit=1`, {
    headers: token === undefined ? {} : { authorization: `Bearer ${token}` },
    redirect: 'manual',
    signal: AbortSignal.timeout(HEALTH_MS),
  })
  const { code, title } = (await answer.json().catch(() => ({}))) as { code?: string; title?: string }
  // A key without the scope is still valid.
  if (!answer.ok && code !== 'FORBIDDEN') throw new FleetError(code ?? 'REFUSED', title ?? `HTTP ${answer.status}`)
}

interface Health {
  version?: string
  code?: string
}

/** @throws {FleetError} `NO_SERVER`, `NO_DATABASE`, or the gateway's own code, such as `BAD_HOST` */
async function health(url: string, which: 'live' | 'ready'): Promise<Health> {
  const answer = await fetch(`${url}/health/${which}`, {
    redirect: 'manual',
    signal: AbortSignal.timeout(HEALTH_MS),
  }).catch((error: Error & { cause?: Error }) => {
    const why = error.cause?.message || error.message
    throw new FleetError('NO_SERVER', `No gateway answers at ${url}: ${why}`, { cause: error })
  })
  const health = (await answer.json().catch(() => ({}))) as Health & { status?: unknown; title?: string }
  if (answer.ok && health.status === which) return health
  if (health.code === 'NO_DATABASE') throw new FleetError(health.code, 'the gateway can not reach it: see its log')
  if (health.code !== undefined)
    throw new FleetError(health.code, `refuses this request: ${health.title ?? health.code}`)
  throw new FleetError('NO_SERVER', `The server at ${url} is not a gateway: HTTP ${answer.status}`)
}

function clockText(offset: number): string {
  const difference = `the fleet is ${durationText(Math.abs(offset))} ${offset >= 0 ? 'ahead of' : 'behind'} this computer`
  if (Math.abs(offset) < CLOCK_OFF_MS) return difference
  return `${difference}: correct this clock, or give dates by the fleet's time`
}

async function workersText(view: GatewayView): Promise<string> {
  const filter = { role: 'worker', state: { $in: ['running', 'draining'] } }
  const workers = await view.rows({ collection: 'workers', filter, limit: 1_000 })
  return `${workers.length} registered${versionsText(workers)}`
}
