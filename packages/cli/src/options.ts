import { open } from 'node:fs/promises'
import { resolve } from 'node:path'
import { parsePriority } from '@taskfleet/core/internal'
import type { ListenAddress } from '@taskfleet/gateway'
import { type Duration, FleetError, milliseconds, parseJson, type QueueLimits } from '@taskfleet/protocol'
import { VALUE_LIMIT } from '@taskfleet/protocol/internal'
import type { SlotRange } from '@taskfleet/worker/internal'
import { InvalidArgumentError } from 'commander'
import { type Logger, pino } from 'pino'

/** Where a value came from. The first one wins. */
export type OptionSource = 'cli' | 'env' | 'config'
type ConnectionOption = 'mongo' | 'server' | 'key' | 'keyFile'
/** Options that several sources may set. The source decides which one counts. */
export type RankedOption = ConnectionOption | 'secret' | 'secretFile'

export interface CommonOptions {
  mongo?: string
  /** The name of the database, if the address has none. */
  db?: string
  server?: string
  key?: string
  keyFile?: string
  /** Where these options came from. */
  sources?: Partial<Record<RankedOption, OptionSource | undefined>>
  json?: boolean
  logLevel?: string
}

/** Logs go to stderr, so that stdout holds only the answer. */
export function makeLog(level = 'info'): Logger {
  return pino(
    { level, redact: ['token', 'auth', '*.token', '*.auth', 'authorization', '*.authorization'] },
    pino.destination(2),
  )
}

/** A duration, unchanged. */
export function parseDuration(text: string): Duration {
  try {
    milliseconds(text as Duration)
    return text as Duration
  } catch {
    throw new InvalidArgumentError('Expected a duration such as 500ms, 10s, 5m or 2h.')
  }
}

/** A duration in milliseconds. */
export function parseMs(text: string): number {
  return milliseconds(parseDuration(text))
}

/** `HOST:PORT`, `[::1]:4100` or `:4100`. */
export function parseListen(text: string): ListenAddress {
  const [, host, port] = /^(.*?):(\d{1,5})$/.exec(text) ?? []
  if (port === undefined || Number(port) > 65_535)
    throw new InvalidArgumentError('Expected an address such as 127.0.0.2:4101; port 0 picks a free one.')
  return { host: host === '' || host === undefined ? '127.0.0.1' : host.replace(/^\[|\]$/g, ''), port: Number(port) }
}

/** `4`, `auto`, or `2-8` for automatic within a range. */
export function parseConcurrency(text: string): number | 'auto' | SlotRange {
  if (text === 'auto') return text
  const [, least, most] = /^(\d+)-(\d+)$/.exec(text) ?? []
  const [min, max] = [Number(least ?? text), Number(most ?? text)]
  if (!Number.isInteger(min) || min < 1 || max < min) {
    throw new InvalidArgumentError('Expected a whole number from 1, a range such as 2-8, or auto.')
  }
  return most === undefined ? min : { min, max }
}

/** A count that may be 0. */
export const parseAmount = (text: string): number => (text === '0' ? 0 : parseCount(text))

export function parseCount(text: string): number {
  const count = Number(text)
  if (!Number.isInteger(count) || count < 1) throw new InvalidArgumentError('Expected a whole number from 1.')
  return count
}

/** A rate of starts, such as `100/1m`. */
export function parseRate(text: string): NonNullable<QueueLimits['rate']> {
  const [, limit, per] = /^(\d+)\/([^/]+)$/.exec(text) ?? []
  if (limit === undefined || per === undefined) {
    throw new InvalidArgumentError('Expected a rate such as 100/1m, or none.')
  }
  return { limit: Number(limit), per: parseDuration(per) }
}

/** A number or one of the three names. */
export function parsePriorityText(text: string): number | string {
  const priority = /^\d+$/.test(text) ? Number(text) : text
  // Checked here, before a database is needed.
  parsePriority(priority)
  return priority
}

/** Queues to serve, and how many of some may run at once here: `a:2,b`. */
export interface ServedQueues {
  names: string[]
  limits: Record<string, number>
}

export function parseServedQueues(text: string): ServedQueues {
  const limits = new Map<string, number>()
  const names = parseList(text).map((part) => {
    const [name, limit, more] = part.split(':')
    if (name === '' || more !== undefined || (limit !== undefined && !/^[1-9]\d{0,3}$/.test(limit))) {
      throw new InvalidArgumentError('Expected names such as a,b; a:2 runs at most 2 of a at once.')
    }
    if (limit !== undefined) limits.set(name!, Number(limit))
    return name!
  })
  return { names, limits: Object.fromEntries(limits) }
}

/** One or several of these choices, with commas between them. */
export const parseChoices =
  (choices: readonly string[]) =>
  (text: string): string[] => {
    const chosen = parseList(text)
    if (chosen.length === 0 || chosen.some((one) => !choices.includes(one))) {
      throw new InvalidArgumentError(`Expected one or several of ${choices.join(', ')}.`)
    }
    return chosen
  }

export function parseList(text: string): string[] {
  return text.split(',').filter((part) => part !== '')
}

/** A number of bytes: `500000`, `700K`, `700M`, `4G` or `1T`, by powers of 1,024, also with `B` or `iB` behind it. */
export function parseSize(text: string): number {
  const [, number, unit = ''] = /^(\d+(?:\.\d+)?)([KMGT]?)(?:i?B)?$/i.exec(text) ?? []
  const bytes = Math.round(Number(number) * 1024 ** ' KMGT'.indexOf(unit.toUpperCase() || ' '))
  if (!Number.isSafeInteger(bytes)) throw new InvalidArgumentError('Expected a size such as 500000, 700M or 4G.')
  return bytes
}

/**
 * JSON, or `@FILE` with JSON, or `-` for stdin. Reads no more than the limit of an input.
 *
 * @throws {FleetError} `BAD_JSON`, `BAD_INPUT`, `INPUT_TOO_LARGE`; `OUT_OF_RANGE`, `BAD_STRING` with the path in `field`
 */
export async function readJson(text: string, what: string): Promise<unknown> {
  if (text !== '-' && !text.startsWith('@')) return parseJson(text, what)
  return parseJson(await readText(text === '-' ? text : resolve(text.slice(1)), what, VALUE_LIMIT), what)
}

/**
 * The text of a file, or of stdin for `-`.
 *
 * @param what its name, for messages
 * @throws {FleetError} `BAD_INPUT`, `INPUT_TOO_LARGE`
 */
export async function readText(path: string, what: string, limit: number): Promise<string> {
  const file =
    path === '-'
      ? undefined
      : await open(path).catch((error: Error) => {
          throw new FleetError('BAD_INPUT', `${what} cannot be read: ${error.message}`, { cause: error })
        })
  const stream = file?.createReadStream() ?? process.stdin
  const chunks: Buffer[] = []
  let length = 0
  try {
    for await (const chunk of stream) {
      chunks.push(Buffer.from(chunk as Buffer))
      length += chunks.at(-1)!.length
      if (length > limit) throw new FleetError('INPUT_TOO_LARGE', `${what} has more than ${limit} bytes`)
    }
  } catch (error) {
    if (error instanceof FleetError) throw error
    throw new FleetError('BAD_INPUT', `${what} cannot be read: ${(error as Error).message}`, { cause: error })
  } finally {
    await file?.close()
  }
  return Buffer.concat(chunks).toString('utf8')
}
