import { ENDED_STATUSES, type EndedStatus, FleetError, milliseconds, parsePriority } from '@taskfleet/core'
import type { Duration } from '@taskfleet/core/protocol'
import { InvalidArgumentError } from 'commander'
import { type Logger, pino } from 'pino'
import type { ListenAddress } from '../gateway/gateway.ts'
import type { SlotRange } from '../load/auto-slots.ts'

export interface CommonOptions {
  mongo?: string
  json?: boolean
  logLevel?: string
}

/** @throws {FleetError} `NO_ADDRESS` */
export function mongoUri({ mongo }: CommonOptions, env = process.env): string {
  const uri = mongo ?? env.TASKFLEET_MONGO_URI
  if (uri === undefined || uri === '') {
    throw new FleetError('NO_ADDRESS', 'Which database? Give --mongo mongodb://… or set TASKFLEET_MONGO_URI')
  }
  return uri
}

/** Logs go to stderr, so that stdout holds the command's answer alone. */
export function makeLog(level = 'info'): Logger {
  return pino(
    { level, redact: ['token', 'auth', '*.token', '*.auth', 'authorization', '*.authorization'] },
    pino.destination(2),
  )
}

/** A duration as it was written. */
export function parseDuration(text: string): Duration {
  try {
    milliseconds(text as Duration)
    return text as Duration
  } catch {
    throw new InvalidArgumentError('a duration such as 500ms, 10s, 5m or 2h is wanted')
  }
}

/** A duration in milliseconds. */
export function parseMs(text: string): number {
  return milliseconds(parseDuration(text))
}

/** How long something is kept, in milliseconds. */
export function parseKept(text: string): number | 'forever' {
  return text === 'forever' ? text : parseMs(text)
}

/** `HOST:PORT`, `[::1]:4100` or `:4100`. */
export function parseListen(text: string): ListenAddress {
  const [, host, port] = /^(.*?):(\d{1,5})$/.exec(text) ?? []
  if (port === undefined || Number(port) > 65_535)
    throw new InvalidArgumentError('an address such as 127.0.0.2:4101 is wanted, port 0 for a free one')
  return { host: host === '' || host === undefined ? '127.0.0.1' : host.replace(/^\[|\]$/g, ''), port: Number(port) }
}

/** `4`, `auto`, or `2-8` for automatic within a range. */
export function parseConcurrency(text: string): number | 'auto' | SlotRange {
  if (text === 'auto') return text
  const [, least, most] = /^(\d+)-(\d+)$/.exec(text) ?? []
  const [min, max] = [Number(least ?? text), Number(most ?? text)]
  if (!Number.isInteger(min) || min < 1 || max < min) {
    throw new InvalidArgumentError('a whole number from 1, a range such as 2-8, or auto is wanted')
  }
  return most === undefined ? min : { min, max }
}

export function parseCount(text: string): number {
  const count = Number(text)
  if (!Number.isInteger(count) || count < 1) throw new InvalidArgumentError('a whole number from 1 is wanted')
  return count
}

/** A number or one of the three names. */
export function parsePriorityText(text: string): number | string {
  const priority = /^\d+$/.test(text) ? Number(text) : text
  // Checked here, so that a mistake needs no database.
  parsePriority(priority)
  return priority
}

/** How tasks ended. */
export function parseEnded(text: string): EndedStatus[] {
  const statuses = parseList(text)
  const ended: readonly string[] = ENDED_STATUSES
  if (statuses.length === 0 || statuses.some((status) => !ended.includes(status))) {
    throw new InvalidArgumentError(`one or several of ${ended.join(', ')} are wanted`)
  }
  return statuses as EndedStatus[]
}

export function parseList(text: string): string[] {
  return text.split(',').filter((part) => part !== '')
}

/** @throws {FleetError} `BAD_JSON` */
export function parseJson(text: string, what: string): unknown {
  try {
    return JSON.parse(text)
  } catch (error) {
    throw new FleetError('BAD_JSON', `${what} is not JSON: ${(error as Error).message}`, { cause: error })
  }
}
