import { webhookHeaders } from '@taskfleet/core/internal'
import { FleetError } from '@taskfleet/protocol'

export interface Webhook {
  /** http or https. */
  url: string
  /** Signs the requests, so that the receiver knows the sender. Without it they are not signed. */
  secret?: string
}

const TRIES = 5
const TIMEOUT_MS = 10_000

/**
 * Posts an event as JSON, with the headers of `webhookHeaders`. Tries again with back-off when the receiver can't be reached, is overloaded or fails.
 *
 * @throws {FleetError} `WEBHOOK_FAILED`
 */
export async function sendWebhook({ url, secret }: Webhook, event: object): Promise<void> {
  // Loaded only where there is a webhook: it takes a few megabytes.
  const { Agent, interceptors, request } = await import('undici')
  const agent = new Agent({ headersTimeout: TIMEOUT_MS, bodyTimeout: TIMEOUT_MS, connect: { timeout: TIMEOUT_MS } })
  const retrying = agent.compose(
    interceptors.retry({
      maxRetries: TRIES - 1,
      methods: ['POST'],
      minTimeout: 500,
      statusCodes: [429, 500, 502, 503, 504],
    }),
  )
  const body = JSON.stringify(event)
  try {
    const answer = await request(url, {
      method: 'POST',
      dispatcher: retrying,
      headers: webhookHeaders(body, secret),
      body,
    })
    await answer.body.dump()
    if (answer.statusCode >= 300) throw new Error(`it answered ${answer.statusCode}`)
  } catch (error) {
    const host = URL.canParse(url) ? new URL(url).host : url
    const why = error instanceof Error ? error.message : String(error)
    throw new FleetError('WEBHOOK_FAILED', `The webhook at ${host} could not be called: ${why}`, { cause: error })
  } finally {
    await agent.close()
  }
}
