import { maskSecrets } from '@taskfleet/protocol/internal'
import type { LogFn, Logger } from 'pino'
import { isOutage } from './unknown-outcome.ts'

/** `pino.symbols.serializersSym`, without loading pino, which a producer doesn't need. */
const SERIALIZERS = Symbol.for('pino.serializers')

/**
 * A logger that lowers errors to `debug` if they happen only because the database is away. `Availability` logs the outage itself,
 * and a line from each part that fails would hide that. Secrets in the texts of errors are masked.
 */
export function withoutOutages(log: Logger): Logger {
  const quiet = log.child({}, { serializers: { err: maskedError(log) } })
  for (const level of ['warn', 'error'] as const) {
    const tell: LogFn = quiet[level].bind(quiet)
    quiet[level] = ((...args: Parameters<LogFn>): void => {
      const [about] = args as unknown[]
      const failed = typeof about === 'object' && about !== null && 'err' in about && isOutage(about.err)
      if (failed) quiet.debug(...args)
      else tell(...args)
    }) as LogFn
  }
  return quiet
}

/** The logger's serializer for errors, with masked texts. */
function maskedError(log: Logger): (error: unknown) => unknown {
  const own = (log as { [SERIALIZERS]?: Record<string, (value: unknown) => unknown> })[SERIALIZERS]
  return (error) => {
    const shown = own?.err === undefined ? error : own.err(error)
    if (typeof shown !== 'object' || shown === null) return typeof shown === 'string' ? maskSecrets(shown) : shown
    const fields = Object.entries(shown)
    return Object.fromEntries(
      fields.map(([name, value]) => [name, typeof value === 'string' ? maskSecrets(value) : value]),
    )
  }
}
