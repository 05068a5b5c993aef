import { setTimeout as sleep } from 'node:timers/promises'
import { FleetError, receivedError } from '@taskfleet/protocol'
import { gatewayUrl } from './gateway-view.ts'

const ANSWER_MS = 15_000
/** A key that has asked too much in a second may ask again in the next one; who shows wrong keys waits for longer. */
const WAIT_MS = 1_000
const TRIES = 3

export interface RestRequest {
  query?: Record<string, string | number | undefined>
  body?: unknown
  /** Whether sending it twice does no more than sending it once. */
  repeatable?: boolean
  /** How long the answer may take, in milliseconds. */
  within?: number
}

/** The REST API of a gateway. Errors keep the code that they are answered with. */
export class RestClient {
  readonly #base: string
  readonly #token: string | undefined

  /** @throws {FleetError} `BAD_ADDRESS` */
  constructor(server: string, token: string | undefined) {
    this.#base = gatewayUrl(server)
    this.#token = token
  }

  /**
   * @param path below `/api/v1`
   * @returns what was answered, undefined for nothing
   * @throws {FleetError} the answer's code; `NO_SERVER`, `NO_ANSWER`, `REFUSED`
   */
  async ask<T>(method: string, path: string, request: RestRequest = {}): Promise<T> {
    const repeatable = request.repeatable ?? method === 'GET'
    for (let tries = 1; ; tries += 1) {
      const sent = this.#send(method, path, request)
      const answer = await (repeatable && tries < TRIES ? sent.catch(unlessLost) : sent)
      if (answer === 'lost') continue
      const wait = Number(answer.headers.get('retry-after')) * 1_000
      if (answer.status === 429 && wait > 0 && wait <= WAIT_MS && tries < TRIES) {
        await answer.body?.cancel()
        await sleep(wait)
        continue
      }
      return (await this.#read(answer)) as T
    }
  }

  async #send(method: string, path: string, { query = {}, body, within = ANSWER_MS }: RestRequest): Promise<Response> {
    const url = new URL(`${this.#base}/api/v1${path}`)
    for (const [name, value] of Object.entries(query)) {
      if (value !== undefined) url.searchParams.set(name, String(value))
    }
    const headers = {
      ...(this.#token === undefined ? {} : { authorization: `Bearer ${this.#token}` }),
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
    }
    const sent = body === undefined ? {} : { body: JSON.stringify(body) }
    // A key goes where it was meant to go and nowhere else.
    return fetch(url, { method, headers, ...sent, redirect: 'manual', signal: AbortSignal.timeout(within) }).catch(
      (error: Error & { cause?: Error & { code?: string } }) => {
        if (error.name === 'TimeoutError') {
          throw new FleetError('NO_ANSWER', `The gateway at ${this.#base} did not answer in time`, { cause: error })
        }
        const why = error.cause?.message || error.cause?.code || error.message
        throw new FleetError('NO_SERVER', `No gateway answers at ${this.#base}: ${why}`, { cause: error })
      },
    )
  }

  async #read(answer: Response): Promise<unknown> {
    const text = await answer.text().catch((error: Error) => {
      throw new FleetError('NO_ANSWER', `The answer of ${this.#base} broke off`, { cause: error })
    })
    if (answer.ok && text === '') return undefined
    const told = parsed(text)
    if (answer.ok && told !== undefined) return told
    const { code, title, field, ids } = (told ?? {}) as Record<'code' | 'title' | 'field' | 'ids', unknown>
    if (typeof code === 'string' && !answer.ok) {
      throw receivedError({
        code,
        message: String(title),
        field: typeof field === 'string' ? field : undefined,
        ids: Array.isArray(ids) ? ids.map(String) : undefined,
      })
    }
    // Something else answers, such as a proxy in front of it.
    const refused = answer.status === 401 || answer.status === 403
    throw new FleetError(
      refused ? 'REFUSED' : 'NO_SERVER',
      `What answers at ${this.#base} is no gateway that this command knows: HTTP ${answer.status}`,
    )
  }
}

/** A connection that was refused was not used; one that broke off may have been. */
function unlessLost(error: unknown): 'lost' {
  const { code } = ((error as FleetError).cause as { cause?: { code?: string } } | undefined)?.cause ?? {}
  if (code === 'ECONNRESET' || code === 'UND_ERR_SOCKET' || code === 'EPIPE') return 'lost'
  throw error
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
