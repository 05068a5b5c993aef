import { setTimeout as sleep } from 'node:timers/promises'
import { webhookHeaders } from '@taskfleet/core/internal'
import { FleetError } from '@taskfleet/protocol'
import { Agent, request } from 'undici'
import { type GuardOptions, lookupFor, whyRefused } from './address-guard.ts'
import type { DownloadOutput } from './contract.ts'
import { shown } from './failures.ts'
import { parseUrl } from './http-source.ts'

const TRIES = 4
const FIRST_PAUSE_MS = 500
const TIMEOUT_MS = 10_000
/** Of an answer, this much is read, in bytes. */
const ANSWER_LIMIT = 64 * 1024

export interface WebhookOptions extends GuardOptions {
  /** Signs the request. Without it the request is not signed. */
  secret: string | undefined
  ca: string | undefined
  signal: AbortSignal
}

/** What a webhook gets: a receiver tells repeats by the task's id. */
export interface DownloadedEvent {
  event: 'downloaded'
  task: string
  output: DownloadOutput
}

/**
 * Posts what was downloaded, under the same rules for addresses as downloads, without a proxy and without redirects. Tries again with back-off
 * when the receiver can't be reached or does not answer with 2xx.
 *
 * @throws {UnrecoverableError} `BLOCKED_ADDRESS`
 * @throws {FleetError} `WEBHOOK_FAILED`
 */
export async function postDownloaded(address: string, event: DownloadedEvent, options: WebhookOptions): Promise<void> {
  const url = parseUrl(address)
  const refused = whyRefused(url, options)
  if (refused !== undefined) throw refused
  const { secret, ca, signal } = options
  const dispatcher = new Agent({
    connect: { lookup: lookupFor(url, options), timeout: TIMEOUT_MS, ...(ca !== undefined && { ca }) },
    headersTimeout: TIMEOUT_MS,
    bodyTimeout: TIMEOUT_MS,
  })
  const body = JSON.stringify(event)
  try {
    for (let tries = 1; ; tries++) {
      try {
        const answer = await request(url, {
          ...{ method: 'POST', dispatcher, body, signal },
          headers: webhookHeaders(body, secret),
        })
        await answer.body.dump({ limit: ANSWER_LIMIT })
        if (answer.statusCode < 300) return
        throw new FleetError('WEBHOOK_FAILED', `${shown(url)} answered ${answer.statusCode}`)
      } catch (error) {
        if (signal.aborted) throw signal.reason
        if (tries === TRIES || (error as { code?: string }).code === 'BLOCKED_ADDRESS') throw error
        await sleep(FIRST_PAUSE_MS * 2 ** (tries - 1), undefined, { signal })
      }
    }
  } catch (error) {
    if (signal.aborted) throw signal.reason
    if (error instanceof FleetError) throw error
    const why = error instanceof Error ? error.message : String(error)
    throw new FleetError('WEBHOOK_FAILED', `${shown(url)} could not be called: ${why}`, { cause: error })
  } finally {
    await dispatcher.destroy()
  }
}
