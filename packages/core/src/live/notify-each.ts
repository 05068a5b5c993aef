import type { Logger } from 'pino'
import { asError } from '../thrown.ts'

/** Notifies each listener. One that fails affects neither the others nor the process. */
export function notifyEach<Listener>(
  listeners: Iterable<Listener>,
  notify: (listener: Listener) => void,
  { log, failed }: { log: Pick<Logger, 'error'> | undefined; failed: string },
): void {
  for (const listener of listeners) {
    try {
      notify(listener)
    } catch (error) {
      log?.error({ err: asError(error) }, failed)
    }
  }
}
