import { FleetError } from '@taskfleet/protocol'
import { restCall } from './rest-call.ts'
import { wireError } from './wire-error.ts'

interface SessionOptions {
  /** The gateway's address. */
  url: string
  key: string
  /** The key may not be used, now or any more. */
  onRefused?: () => void
  fetch?: typeof fetch
}

/** Shorter than a gateway waits for a connection to say who it is. */
const ANSWER_MS = 4_000

/**
 * Makes short-lived sessions from a key, which goes nowhere else: sockets and requests show a session. Whether one is still good
 * is for the gateway to say and not for this computer's clock, which may be wrong or have slept.
 */
export class Session {
  readonly #options: SessionOptions
  #token: string | undefined
  #asking: Promise<string> | undefined
  /** Whether the key was good once, so that it is not taken for a mistyped one. */
  #proven = false

  constructor(options: SessionOptions) {
    this.#options = options
  }

  /**
   * A new one, for a connection.
   *
   * @throws {FleetError} `UNAUTHENTICATED`, `FORBIDDEN`, `RATE_LIMITED` for a key that opens nothing; else what passes by itself
   */
  fresh(): Promise<string> {
    this.#asking ??= this.#ask().finally(() => {
      this.#asking = undefined
    })
    return this.#asking
  }

  /** The last one, for a request, which asks for a fresh one should this have ended. @throws {FleetError} as `fresh` */
  current(): Promise<string> {
    return this.#token === undefined ? this.fresh() : Promise.resolve(this.#token)
  }

  async #ask(): Promise<string> {
    const { key, url, fetch, onRefused } = this.#options
    try {
      const signal = AbortSignal.timeout(ANSWER_MS)
      const answer = await restCall({ url, token: key, method: 'POST', path: '/sessions', signal, fetch })
      const { token } = answer as { token: string }
      this.#proven = true
      this.#token = token
      return token
    } catch (thrown) {
      const { code, message } = wireError(thrown)
      if (code === 'UNAUTHENTICATED') {
        this.#token = undefined
        onRefused?.()
        throw new FleetError(code, this.#proven ? GONE : UNKNOWN)
      }
      // Too many requests of a good key, which pass, and not too many keys that are wrong.
      if (code === 'RATE_LIMITED' && this.#proven) throw new FleetError('BUSY', message)
      throw thrown
    }
  }
}

const GONE = 'The key of this page may not be used any more: it was revoked or has expired.'
const UNKNOWN = 'This key is not good here: it is not known, or it was revoked or has expired.'

/** The session of a key: the same for all who use the same key one after the other. */
export function createSessions(options: Omit<SessionOptions, 'key'>): (key: string) => Session {
  let last: { key: string; session: Session } | undefined
  return (key) => {
    if (last?.key !== key) last = { key, session: new Session({ ...options, key }) }
    return last.session
  }
}
