/** What the gateway answered instead of doing it, or why there was no answer. */
export class RestError extends Error {
  readonly code: string
  readonly field: string | undefined

  constructor(code: string, message: string, field?: string) {
    super(message)
    this.code = code
    this.field = field
  }
}

interface RestRequest {
  /** The gateway's address. */
  url: string
  token: string | undefined
  method: string
  /** Below `/api/v1`. */
  path: string
  body?: object | undefined
  signal?: AbortSignal
  fetch?: typeof fetch | undefined
}

/** One request. @throws {RestError} with the gateway's `code` and `field`, or `UNREACHABLE` */
export async function restCall({ url, token, method, path, body, signal, fetch: send = ask }: RestRequest) {
  const headers = {
    accept: 'application/json',
    ...(token !== undefined && { authorization: `Bearer ${token}` }),
    ...(body !== undefined && { 'content-type': 'application/json' }),
  }
  const asked = {
    method,
    headers,
    cache: 'no-store',
    ...(body !== undefined && { body: JSON.stringify(body) }),
    ...(signal !== undefined && { signal }),
  } as const
  const response = await send(`${url}/api/v1${path}`, asked).catch(() => {
    throw new RestError('UNREACHABLE', 'The gateway could not be reached')
  })
  const answer: unknown = await response.json().catch(() => undefined)
  if (!response.ok) throw problemOf(response, answer)
  return answer
}

/** Looked up with each request, as `window` has it. */
const ask: typeof fetch = (...request) => fetch(...request)

/** The error of a problem document (RFC 9457), or of whatever a proxy put in its place. */
function problemOf({ status }: Response, answer: unknown): RestError {
  const { code, title, field } = (typeof answer === 'object' && answer !== null ? answer : {}) as Record<
    string,
    unknown
  >
  return new RestError(
    typeof code === 'string' ? code : `HTTP_${status}`,
    typeof title === 'string' ? title : `The gateway answered ${status}`,
    typeof field === 'string' ? field : undefined,
  )
}
