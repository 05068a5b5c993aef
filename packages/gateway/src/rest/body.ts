import type { IncomingMessage } from 'node:http'
import { FleetError, parseJson } from '@taskfleet/protocol'

/** The largest bodies, in bytes: of one document, and of a list. */
export const BODY_LIMITS = { one: 256 * 1024, many: 8 * 1024 * 1024 } as const

/** How long a body may pause, and how long it may take in all, in milliseconds. */
export const BODY_TIMES = { silent: 10_000, whole: 120_000 } as const

/** How a body was sent, which its value does not show. */
export interface Body {
  value: unknown
  bytes: number
}

/**
 * Reads a JSON body.
 *
 * @param limit in bytes
 * @throws {FleetError} `INPUT_TOO_LARGE`, `REQUEST_TIMEOUT`, `BAD_JSON`; `BAD_STRING`, `OUT_OF_RANGE` with the path in `field`
 */
export async function readJson(
  stream: NodeJS.ReadableStream,
  { limit, times = BODY_TIMES }: { limit: number; times?: { silent: number; whole: number } },
): Promise<Body> {
  const bytes = await readBytes(stream, limit, times)
  return { value: bytes.length === 0 ? undefined : parseJson(decoded(bytes)), bytes: bytes.length }
}

/**
 * Reads a body as text.
 *
 * @param limit in bytes
 * @throws {FleetError} `INPUT_TOO_LARGE`, `REQUEST_TIMEOUT`, `BAD_STRING`
 */
export async function readTextBody(
  stream: NodeJS.ReadableStream,
  { limit, times = BODY_TIMES }: { limit: number; times?: { silent: number; whole: number } },
): Promise<string> {
  return decoded(await readBytes(stream, limit, times))
}

export const tooLarge = (limit: number): FleetError =>
  new FleetError('INPUT_TOO_LARGE', `The body is larger than the allowed ${limit} bytes`)

function readBytes(
  stream: NodeJS.ReadableStream,
  limit: number,
  times: { silent: number; whole: number },
): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = []
    let size = 0
    const stop = (act: () => void): void => {
      clearTimeout(silence)
      clearTimeout(whole)
      stream.removeListener('data', take)
      stream.removeListener('end', finish)
      stream.removeListener('error', fail)
      stream.removeListener('close', broken)
      act()
    }
    const refuse = (error: FleetError): void => {
      stop(() => {
        stream.pause()
        reject(error)
      })
    }
    const take = (chunk: Buffer): void => {
      silence.refresh()
      size += chunk.length
      if (size > limit) refuse(tooLarge(limit))
      else chunks.push(chunk)
    }
    const finish = (): void => stop(() => resolve(Buffer.concat(chunks)))
    const fail = (error: Error): void =>
      stop(() => reject(new FleetError('BAD_REQUEST', 'The body was not sent to its end', { cause: error })))
    const broken = (): void => fail(new Error('closed'))
    const late = (): void => refuse(new FleetError('REQUEST_TIMEOUT', 'The body did not come in time'))
    const silence = setTimeout(late, times.silent)
    const whole = setTimeout(late, times.whole)
    const length = Number((stream as Partial<IncomingMessage>).headers?.['content-length'] ?? 0)
    if (length > limit) {
      refuse(tooLarge(limit))
      return
    }
    stream.on('data', take)
    stream.on('end', finish)
    stream.on('error', fail)
    stream.on('close', broken)
  })
}

function decoded(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch (error) {
    throw new FleetError('BAD_STRING', 'The body is not UTF-8', { cause: error })
  }
}
