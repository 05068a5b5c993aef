import { once } from 'node:events'
import type { ServerResponse } from 'node:http'
import { setTimeout as wait } from 'node:timers/promises'
import type { Content } from './content.ts'
import type { ReplyPlan } from './reply-plan.ts'

/** Holds bytes back to a rate, for all that are sent under it together. */
export interface Pace {
  /** Bytes a second. */
  readonly rate: number
  /** Resolves when as many bytes are due. */
  sent(bytes: number): Promise<void> | undefined
}

export interface SendOptions {
  /** As fast as the socket takes them without it. */
  pace?: Pace | undefined
  /** Waits at this byte of the content until the promise resolves. */
  hold?: { at: number; reached(): void; released: Promise<void> } | undefined
  /** Called with the number of body bytes handed to the socket. */
  sent(bytes: number): void
}

/** Sends a planned answer's body and carries out its ending. */
export async function sendBody(response: ServerResponse, plan: ReplyPlan, content: Content, options: SendOptions) {
  const { hold } = options
  if (hold && hold.at >= plan.from && hold.at < plan.to) {
    await sendRange(response, content, plan.from, hold.at, options)
    hold.reached()
    await hold.released
    await sendRange(response, content, hold.at, plan.to, options)
  } else {
    await sendRange(response, content, plan.from, plan.to, options)
  }
  switch (plan.ending) {
    case 'complete':
      response.end()
      return
    case 'drop':
      // Ends the connection in order, so that what was sent does arrive: tests count on the exact byte.
      response.socket?.destroySoon()
      return
    case 'reset':
      response.socket?.resetAndDestroy()
      return
    case 'silence':
      response.flushHeaders()
      return
    case 'endless':
      while (!response.destroyed) await sendRange(response, content, 0, content.size, options)
  }
}

async function sendRange(
  response: ServerResponse,
  content: Content,
  from: number,
  to: number,
  { pace, sent }: SendOptions,
) {
  if (from >= to) return
  const piece = pace === undefined ? Number.POSITIVE_INFINITY : Math.max(1, Math.ceil(pace.rate / 20))
  for await (const slice of content.slices(from, to)) {
    for (let at = 0; at < slice.length; at += piece) {
      if (response.destroyed) return
      const part = slice.subarray(at, at + piece)
      sent(part.length)
      const flowing = response.write(part)
      if (!flowing) await drained(response)
      await pace?.sent(part.length)
    }
  }
}

async function drained(response: ServerResponse) {
  const closed = new AbortController()
  const stop = () => closed.abort()
  response.once('close', stop)
  await once(response, 'drain', { signal: closed.signal }).catch(() => undefined)
  response.off('close', stop)
}

export function paceOf(rate: number): Pace {
  let free = 0
  return {
    rate,
    sent: (bytes) => {
      const now = performance.now()
      free = Math.max(free, now) + (bytes / rate) * 1000
      return free - now > 1 ? wait(free - now) : undefined
    },
  }
}
