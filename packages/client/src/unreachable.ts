import { FleetError } from '@taskfleet/protocol'

/** An error of engine.io: `description` is a status of HTTP or what the transport itself reports. */
interface TransportError extends Error {
  description?: unknown
  context?: { responseText?: unknown; statusText?: unknown }
}

/** Why a client has no connection: `BAD_HOST`, `BAD_ORIGIN` or whatever the gateway refuses with, else `UNREACHABLE`. */
export function unreachable(address: string, error: TransportError): FleetError {
  const { code, message } = refusalIn(error.context?.responseText)
  if (code !== undefined) return new FleetError(code, message ?? code, { cause: error })
  return new FleetError('UNREACHABLE', `No gateway answers at ${address}: ${whyOf(error)}`, { cause: error })
}

/** engine.io's code for a session that this server does not have. */
const UNKNOWN_SESSION = 1

function whyOf({ message, description, context }: TransportError): string {
  if (answerIn(context?.responseText).code === UNKNOWN_SESSION) {
    return 'requests reach several gateways in turns; pass websockets on, or make the load balancer sticky'
  }
  if (message === 'timeout') return 'neither a websocket nor long polling was answered in time'
  if (typeof description === 'number' && description > 0) return `HTTP ${description}`
  return messageOf(description) ?? messageOf(context?.statusText) ?? message
}

function messageOf(reason: unknown): string | undefined {
  const { message } = (typeof reason === 'object' && reason !== null ? reason : {}) as { message?: unknown }
  return typeof message === 'string' && message !== '' ? message : undefined
}

/** A gateway writes its own code and text into the message of engine.io. */
function refusalIn(body: unknown): { code?: string; message?: string } {
  const [, code, text] = /^([A-Z_]+): ([\s\S]*)$/.exec(String(answerIn(body).message)) ?? []
  return code === undefined ? {} : { code, message: text! }
}

/** What engine.io answers where it refuses a request. */
function answerIn(body: unknown): { code?: unknown; message?: unknown } {
  try {
    return (JSON.parse(String(body)) ?? {}) as { code?: unknown; message?: unknown }
  } catch {
    return {}
  }
}
