import { FleetError } from '@taskfleet/protocol'

interface RestRequest {
  /** The gateway's address. */
  url: string
  /** A key, or a session's token. */
  token: string | undefined
  method: 'GET' | 'POST'
  /** Below `/api/v1`. */
  path: string
  signal?: AbortSignal
  fetch?: typeof fetch | undefined
}

/**
 * One request over REST, where the socket cannot be used.
 *
 * @throws {FleetError} with the gateway's `code`, or `UNREACHABLE`
 */
export async function restCall({ url, token, method, path, signal, fetch: send = ask }: RestRequest): Promise<unknown> {
  const headers = {
    accept: 'application/json',
    ...(token !== undefined && { authorization: `Bearer ${token}` }),
  }
  const asked = { method, headers, cache: 'no-store', ...(signal !== undefined && { signal }) } as const
  const response = await send(`${url}/api/v1${path}`, asked).catch(() => {
    throw new FleetError('UNREACHABLE', 'The gateway could not be reached')
  })
  const answer: unknown = await response.json().catch(() => undefined)
  if (!response.ok) throw problemOf(response, answer)
  return answer
}

/** Looked up for each request, because tests and pages may replace it. */
const ask: typeof fetch = (...request) => fetch(...request)

/** The error of a problem document (RFC 9457), or of another answer, such as a proxy's. */
function problemOf({ status }: Response, answer: unknown): FleetError {
  const { code, title } = (typeof answer === 'object' && answer !== null ? answer : {}) as Record<string, unknown>
  return new FleetError(
    typeof code === 'string' ? code : `HTTP_${status}`,
    typeof title === 'string' ? title : `The gateway answered ${status}`,
  )
}
