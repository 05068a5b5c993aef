import type { FleetClient } from '@taskfleet/client'
import { durationText, FleetError, VERSION } from '@taskfleet/protocol'
import { tokenOf } from './address.ts'
import type { Check } from './doctor.ts'
import { documentsText } from './doctor-documents.ts'
import { secretText } from './doctor-secret.ts'
import { connectGateway, GatewayView, gatewayUrl } from './gateway-view.ts'
import type { CommonOptions } from './options.ts'

const HEALTH_MS = 10_000
/** From here on, dates that people give here mean something else there. */
const CLOCK_OFF_MS = 60_000

/** What can be known of a fleet from outside: each step of the way that a command takes through a gateway. */
export async function checkGateway(server: string, options: CommonOptions, check: Check): Promise<void> {
  const reached = await check('gateway', async () => {
    const { version } = await health(gatewayUrl(server), 'live')
    const both = version === VERSION ? `version ${version}, as this` : `version ${version}; this is ${VERSION}`
    return `${gatewayUrl(server)} takes requests by this name, ${both}`
  })
  if (!reached) return
  await check('database', async () => {
    await health(gatewayUrl(server), 'ready')
    return 'answers the gateway'
  })
  let token: string | undefined
  const known = await check('key', async () => {
    token = await tokenOf(options)
    // Whoever lacks the scope has been let in nevertheless.
    await tryKey(gatewayUrl(server), token)
    return token === undefined ? 'none is needed: the fleet has no key yet' : 'is good'
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

/** Whoever is limited to some queues may not see it. */
async function checkSetAside(client: FleetClient, check: Check): Promise<void> {
  const answer = await client.documents.list().catch((error: unknown) => error as Error)
  if (answer instanceof FleetError && (answer.code === 'FORBIDDEN' || answer.code === 'NOT_FOUND')) return
  await check('documents', async () => {
    if (answer instanceof Error) throw answer
    return documentsText(answer)
  })
}

/** @throws {FleetError} what the key is refused with */
async function tryKey(url: string, token: string | undefined): Promise<void> {
  const answer = await fetch(`${url}/api/v1/audit?limit=1`, {
    headers: token === undefined ? {} : { authorization: `Bearer ${token}` },
    redirect: 'manual',
    signal: AbortSignal.timeout(HEALTH_MS),
  })
  const { code, title } = (await answer.json().catch(() => ({}))) as { code?: string; title?: string }
  // A key without the scope is a good key.
  if (!answer.ok && code !== 'FORBIDDEN') throw new FleetError(code ?? 'REFUSED', title ?? `HTTP ${answer.status}`)
}

interface Health {
  version?: string
  code?: string
}

/** @throws {FleetError} `NO_SERVER`, `NO_DATABASE`, or what it refuses with, such as `BAD_HOST` */
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
  if (health.code === 'NO_DATABASE') throw new FleetError(health.code, 'does not answer the gateway: see its log')
  if (health.code !== undefined)
    throw new FleetError(health.code, `refuses this request: ${health.title ?? health.code}`)
  throw new FleetError('NO_SERVER', `What answers at ${url} is no gateway: HTTP ${answer.status}`)
}

function clockText(offset: number): string {
  const difference = `the fleet is ${durationText(Math.abs(offset))} ${offset >= 0 ? 'ahead of' : 'behind'} this computer`
  if (Math.abs(offset) < CLOCK_OFF_MS) return difference
  return `${difference}: set this clock, or give dates as the fleet sees them`
}

async function workersText(view: GatewayView): Promise<string> {
  const filter = { role: 'worker', state: { $in: ['running', 'draining'] } }
  const workers = await view.rows({ collection: 'workers', filter, limit: 1_000 })
  const versions = [...new Set(workers.map(({ version }) => version))]
  return `${workers.length} registered${versions.length === 0 ? '' : `, version ${versions.join(' and ')}`}`
}
