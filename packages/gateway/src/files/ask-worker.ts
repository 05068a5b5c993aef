import { type IncomingMessage, request as overHttp } from 'node:http'
import { request as overHttps } from 'node:https'

/** How long a worker may take to begin with its answer, in milliseconds. */
const ANSWER_MS = 5_000

export interface WorkerRequest {
  method: 'GET' | 'HEAD'
  headers: Record<string, string | string[]>
  /** Aborted when the client has left. */
  signal: AbortSignal
}

/**
 * The answer of a worker, whose body comes as fast as it is read. The connection is its own, so a slow reader holds up nobody else.
 *
 * @throws what the connection failed with, or that no answer came in time
 */
export function askWorker(url: string, { method, headers, signal }: WorkerRequest): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const send = url.startsWith('https:') ? overHttps : overHttp
    const request = send(url, { method, headers, signal, agent: false })
    const late = setTimeout(() => request.destroy(new Error(`no answer in ${ANSWER_MS} ms`)), ANSWER_MS)
    request.once('response', (answer) => {
      clearTimeout(late)
      resolve(answer)
    })
    // It also comes after the response, when the connection breaks; the answer then fails by itself.
    request.on('error', (error) => {
      clearTimeout(late)
      reject(error)
    })
    request.end()
  })
}
