import { FleetError } from '@taskfleet/protocol'

/** An error of engine.io: `description` is an HTTP status or the transport's own error. */
interface TransportError extends Error {
  description?: unknown
  context?: { responseText?: unknown; statusText?: unknown }
}

/** Why a client has no connection: `BAD_HOST`, `BAD_ORIGIN` or another refusal by the gateway; otherwise `UNREACHABLE`. */
export function unreachable(address: string, error: TransportError): FleetError {
  const { code, message } = refusalIn(error.context?.responseText)
  if (code !== undefined) return new FleetError(code, message ?? code, { cause: error })
  return new FleetError('UNREACHABLE', `No gateway answers at ${address}: ${whyOf(error)}`, { cause: error })
}

/** engine.io's code for a session that this server does not have. */
const UNKNOWN_SESSION = 1

function whyOf({ message, description, context }: TransportError): string {
  if (answerIn(context?.responseText).code === UNKNOWN_SESSION) {
    return 'requests reach different gateways in turn; let websockets through, or use sticky sessions in the load balancer'
  }
  if (message === 'timeout') return 'neither a websocket nor long polling was answered in time'
  if (typeof description === 'number' && description > 0) return `HTTP ${description}`
  return messageOf(description) ?? messageOf(context?.statusText) ?? message
}

function messageOf(reason: unknown): string | undefined {
  const { message } = (typeof reason === 'object' && reason !== null ? reason : {}) as { message?: unknown }
  return typeof message === 'string' && message !== '' ? message : undefined
}

/** The refusal in an engine.io response: a gateway writes its own code and text into the message. */
function refusalIn(body: unknown): { code?: string; message?: string } {
  const [, code, text] = /^([A-Z_]+): ([\s\S]*)$/.exec(String(answerIn(body).message)) ?? []
  return code === undefined ? {} : { code, message: text! }
}

/** The body of engine.io's response to a rejected request. */
function answerIn(body: unknown): { code?: unknown; message?: unknown } {
  try {
    return (JSON.parse(String(body)) ?? {}) as { code?: unknown; message?: unknown }
  } catch {
    return {}
  }
}
