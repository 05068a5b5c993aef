import { FleetError } from '@taskfleet/protocol'
import { restCall } from './rest-call.ts'
import { wireError } from './wire-error.ts'

interface SessionOptions {
  key: string
  /** Called when the key is not valid. */
  onRefused?: () => void
  fetch?: typeof fetch
}

/** Shorter than the time that a gateway gives a connection to authenticate. */
const ANSWER_MS = 4_000

/**
 * Makes short-lived sessions from a key. Sockets and requests use a session; the key is sent for nothing else. The gateway decides
 * whether a session is still valid, because the clock of this computer may be wrong.
 */
export class Session {
  readonly #options: SessionOptions
  #asking: { gateway: string; token: Promise<string> } | undefined
  /** Whether the key was valid before, so that it is not a mistyped one. */
  #proven = false

  constructor(options: SessionOptions) {
    this.#options = options
  }

  /**
   * A new session, for a connection to a gateway.
   *
   * @param gateway its address
   * @throws {FleetError} `UNAUTHENTICATED`, `FORBIDDEN`, `RATE_LIMITED` for an invalid key; otherwise a temporary error
   */
  fresh(gateway: string): Promise<string> {
    if (this.#asking?.gateway === gateway) return this.#asking.token
    const asking = { gateway, token: this.#ask(gateway) }
    this.#asking = asking
    return asking.token.finally(() => {
      if (this.#asking === asking) this.#asking = undefined
    })
  }

  async #ask(url: string): Promise<string> {
    const { key, fetch, onRefused } = this.#options
    try {
      const signal = AbortSignal.timeout(ANSWER_MS)
      const answer = await restCall({ url, token: key, method: 'POST', path: '/sessions', signal, fetch })
      const { token } = answer as { token: string }
      this.#proven = true
      return token
    } catch (thrown) {
      const { code, message } = wireError(thrown)
      if (code === 'UNAUTHENTICATED') {
        onRefused?.()
        throw new FleetError(code, this.#proven ? GONE : UNKNOWN)
      }
      // Too many requests with a valid key are a temporary error. Too many invalid keys are not.
      if (code === 'RATE_LIMITED' && this.#proven) throw new FleetError('BUSY', message)
      throw thrown
    }
  }
}

const GONE = 'The key of this page is no longer valid. It was revoked or has expired.'
const UNKNOWN = 'This key is not valid for this fleet. It is unknown, was revoked, or has expired.'

/** Returns the session of a key. Consecutive calls with the same key share one. */
export function createSessions(options: Omit<SessionOptions, 'key'>): (key: string) => Session {
  let last: { key: string; session: Session } | undefined
  return (key) => {
    if (last?.key !== key) last = { key, session: new Session({ ...options, key }) }
    return last.session
  }
}
