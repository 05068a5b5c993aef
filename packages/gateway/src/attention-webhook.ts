import { setTimeout as wait } from 'node:timers/promises'
import { asError } from '@taskfleet/core'
import {
  type AttentionSource,
  type AttentionWatch,
  type FleetDatabase,
  type LiveQueries,
  Service,
  UnderWay,
  WatchLoop,
  webhookHeaders,
} from '@taskfleet/core/internal'
import { type AttentionRow, FleetError } from '@taskfleet/protocol'
import type { Collection, Filter } from 'mongodb'
import type { Logger } from 'pino'

/** Where people are notified when something urgent begins and ends. */
export interface AttentionWebhook {
  /** http or https. Each address gets every event. A name and password in it are sent as `authorization: Basic`. */
  urls: readonly string[]
  /** Signs the requests, so that the receiver knows the sender. Without it they are not signed. */
  secret?: string
}

export interface AttentionNoticesOptions {
  webhook: AttentionWebhook
  database: FleetDatabase
  queries: Pick<LiveQueries, 'watchAttention'>
  source: AttentionSource
  /** The address of this gateway, for the receiver. */
  gateway: string
  log: Logger
  /** How long something must last before it is reported, and how long it must be gone; 10 s by default. */
  lastsMs?: number
  /** How often it looks, in milliseconds. */
  everyMs?: number
  /** The first delay after a failed request, in milliseconds. Each further one is twice as long. */
  retryMs?: number
}

type EventName = 'began' | 'ended'

/**
 * What was reported and has not ended, by the row's `_id`. All gateways use the same documents: the one that makes a document, or
 * changes it to `ended`, sends the event.
 */
interface Notice {
  _id: string
  event: EventName
  /** When it began or ended. */
  at: Date
  row: AttentionRow
  /** Whether the event was sent, or given up. */
  sent: boolean
  /** Until when a gateway is sending it. After that another one does. */
  heldUntil: Date
  expireAt: Date
}

const LASTS_MS = 10_000
const EVERY_MS = 5_000
const RETRY_MS = 1_000
const MOST_RETRY_MS = 60_000
/** With the delays between them, about six minutes. */
const TRIES = 10
const TIMEOUT_MS = 10_000
/** Longer than one request and the longest delay. */
const HOLD_MS = 2 * (TIMEOUT_MS + MOST_RETRY_MS)
const KEPT_MS = 30 * 86_400_000
const MOST_NOTICES = 1_000
const COLLECTION = 'attentionNotices'
/** What every unlimited caller may see. */
const EVERYTHING = JSON.stringify([null, null])
/** Statuses after which the same request may succeed later. */
const PASSING = new Set([408, 425, 429])

/** @throws {FleetError} `BAD_REQUEST` for an address that is not http or https */
export function checkWebhook({ urls }: AttentionWebhook): void {
  for (const url of urls) {
    if (/^https?:\/\//i.test(url) && URL.canParse(url)) continue
    throw new FleetError('BAD_REQUEST', '--attention-webhook takes addresses such as https://hooks.example/fleet')
  }
}

/**
 * Posts `{ event, at, fleet, gateway, row }` when something with the urgency `now` has begun, and when it has ended. One of the fleet's
 * gateways does it. A receiver that is away is tried again for some minutes. Failures are logged and affect nothing else.
 */
export class AttentionNotices extends Service {
  readonly #options: AttentionNoticesOptions
  readonly #notices: Collection<Notice>
  readonly #lastsMs: number
  readonly #sends: UnderWay
  #stopping = new AbortController()
  #watch: AttentionWatch | undefined
  /** Since when each urgent row is in the list without a gap, by `performance.now()`. */
  readonly #since = new Map<string, number>()
  /** Since when each reported row is missing. */
  readonly #missing = new Map<string, number>()

  constructor(options: AttentionNoticesOptions) {
    super()
    this.#options = options
    this.#notices = options.database.db.collection(COLLECTION)
    this.#lastsMs = options.lastsMs ?? LASTS_MS
    this.#sends = new UnderWay((error) => this.#warn(error, 'a notice of what needs somebody could not be sent'))
  }

  protected override async onStart(): Promise<void> {
    const { log, everyMs = EVERY_MS } = this.#options
    this.#stopping = new AbortController()
    this.defer(() => this.#sends.settled())
    this.defer(() => this.#stopping.abort())
    this.defer(() => {
      this.#watch?.close()
      this.#watch = undefined
    })
    const failed = 'what needs somebody could not be compared with its notices; trying again'
    await this.use(new WatchLoop({ look: () => this.#look(), everyMs, firstMs: 0, log, failed }))
  }

  async #look(): Promise<void> {
    const { queries, source } = this.#options
    // Opened here, so that a database that is away does not stop a gateway from starting.
    this.#watch ??= await queries.watchAttention(EVERYTHING, source, () => undefined)
    const { rows, error } = this.#watch.live.attention
    if (error !== undefined) return
    const urgent = new Map(rows.filter(({ urgency }) => urgency === 'now').map((row) => [row._id, row]))
    const notices = await this.#notices.find({}, { limit: MOST_NOTICES }).toArray()
    await this.#begin(urgent, new Set(notices.map(({ _id }) => _id)))
    await this.#end(urgent, notices)
    await this.#takeOver(notices)
  }

  /** Reports the rows that are in the list for long enough and have no notice yet. */
  async #begin(urgent: ReadonlyMap<string, AttentionRow>, known: ReadonlySet<string>): Promise<void> {
    for (const id of lastingFor(this.#lastsMs, this.#since, urgent.keys())) {
      if (known.has(id)) continue
      const notice = this.#notice(urgent.get(id)!, 'began')
      const { _id, ...fields } = notice
      const made = await this.#notices.updateOne({ _id }, { $setOnInsert: fields }, { upsert: true }).catch(unlessThere)
      if (made?.upsertedCount === 1) this.#sends.add(this.#send(notice))
    }
  }

  /** Reports the end of rows that are missing for long enough. */
  async #end(urgent: ReadonlyMap<string, AttentionRow>, notices: readonly Notice[]): Promise<void> {
    const reported = new Map(
      notices.filter(({ event, sent }) => event === 'began' && sent).map((one) => [one._id, one]),
    )
    const missing = [...reported.keys()].filter((id) => !urgent.has(id))
    for (const id of lastingFor(this.#lastsMs, this.#missing, missing)) {
      const notice = this.#notice(reported.get(id)!.row, 'ended')
      const { _id, ...fields } = notice
      const changed = await this.#notices.updateOne({ _id, event: 'began', sent: true }, { $set: fields })
      if (changed.modifiedCount === 1) this.#sends.add(this.#send(notice))
    }
  }

  /** Sends what another gateway was about to send when it ended. */
  async #takeOver(notices: readonly Notice[]): Promise<void> {
    const now = this.#now()
    for (const notice of notices) {
      if (!notice.sent && notice.heldUntil < now && (await this.#hold(notice, { heldUntil: { $lt: now } }))) {
        this.#sends.add(this.#send(notice))
      }
    }
  }

  #notice(row: AttentionRow, event: EventName): Notice {
    const at = this.#now()
    const later = (ms: number): Date => new Date(at.getTime() + ms)
    return { _id: row._id, event, at, row, sent: false, heldUntil: later(HOLD_MS), expireAt: later(KEPT_MS) }
  }

  /** Keeps others from sending a notice for a while. @returns false if it is no longer to be sent */
  async #hold({ _id, event }: Notice, only: Filter<Notice> = {}): Promise<boolean> {
    const heldUntil = new Date(this.#now().getTime() + HOLD_MS)
    const held = await this.#notices.updateOne({ _id, event, sent: false, ...only }, { $set: { heldUntil } })
    return held.matchedCount === 1
  }

  async #send(notice: Notice): Promise<void> {
    const { webhook, database, gateway, retryMs = RETRY_MS } = this.#options
    const { _id, event, at, row } = notice
    const { signal } = this.#stopping
    const body = JSON.stringify({ event, at: at.toISOString(), fleet: database.name, gateway, row })
    let left = webhook.urls
    for (let tried = 1; left.length > 0; tried += 1) {
      const again = await Promise.all(left.map((url) => this.#post(url, body)))
      left = left.filter((_, place) => again[place])
      if (signal.aborted) break
      if (left.length === 0 || tried === TRIES) break
      await wait(Math.min(MOST_RETRY_MS, retryMs * 2 ** (tried - 1)), undefined, { signal }).catch(() => undefined)
      if (signal.aborted || !(await this.#hold(notice))) break
    }
    if (signal.aborted && left.length > 0) {
      await this.#notices.updateOne({ _id, event, sent: false }, { $set: { heldUntil: this.#now() } })
      return
    }
    if (left.length > 0) this.#warn(undefined, `a notice was given up: ${left.map(hostOf).join(', ')} did not take it`)
    if (event === 'ended') await this.#notices.deleteOne({ _id, event })
    else await this.#notices.updateOne({ _id, event }, { $set: { sent: true } })
  }

  /** @returns whether it may succeed later */
  async #post(url: string, body: string): Promise<boolean> {
    const { secret } = this.#options.webhook
    try {
      const { address, authorization } = withoutPassword(url)
      const answer = await fetch(address, {
        method: 'POST',
        headers: { ...webhookHeaders(body, secret), ...authorization },
        body,
        redirect: 'manual',
        signal: AbortSignal.any([AbortSignal.timeout(TIMEOUT_MS), this.#stopping.signal]),
      })
      await answer.body?.cancel()
      if (answer.ok) return false
      this.#warn(undefined, `the webhook at ${hostOf(url)} answered ${answer.status}`)
      return answer.status >= 500 || PASSING.has(answer.status)
    } catch (error) {
      if (this.#stopping.signal.aborted) return true
      this.#warn((error as { cause?: unknown }).cause ?? error, `the webhook at ${hostOf(url)} could not be called`)
      return true
    }
  }

  #now(): Date {
    return this.#options.database.clock.now()
  }

  #warn(error: unknown, message: string): void {
    this.#options.log.warn({ code: 'WEBHOOK_FAILED', ...(error === undefined ? {} : { err: asError(error) }) }, message)
  }
}

/** The ids that are there for at least `ms`. `since` has when each began, and forgets those that are gone. */
function lastingFor(ms: number, since: Map<string, number>, ids: Iterable<string>): string[] {
  const now = performance.now()
  const there = new Set(ids)
  for (const id of since.keys()) if (!there.has(id)) since.delete(id)
  for (const id of there) if (!since.has(id)) since.set(id, now)
  return [...there].filter((id) => now - since.get(id)! >= ms)
}

/** Another gateway has made the same document at the same moment. */
function unlessThere(error: unknown): undefined {
  if ((error as { code?: unknown }).code === 11_000) return undefined
  throw error
}

/** The only part of an address that is logged: paths of webhooks are often secret. */
const hostOf = (url: string): string => new URL(url).host

/** `fetch` takes no address with a password. */
function withoutPassword(url: string): { address: URL; authorization: Record<string, string> } {
  const address = new URL(url)
  const { username, password } = address
  if (username === '' && password === '') return { address, authorization: {} }
  address.username = ''
  address.password = ''
  const credentials = Buffer.from(`${decodeURIComponent(username)}:${decodeURIComponent(password)}`).toString('base64')
  return { address, authorization: { authorization: `Basic ${credentials}` } }
}
