import type { LogFn, Logger } from 'pino'
import { isOutage } from './unknown-outcome.ts'

/**
 * A logger that tells at `debug` what fails only because the database is away: `Availability` tells the outage itself, and one
 * line from each duty that missed it would hide that.
 */
export function withoutOutages(log: Logger): Logger {
  const quiet = log.child({})
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
