import { checkEventName } from './event-name.ts'
import { keepValue } from './keep-value.ts'

/** The most names of events that are reported, in case a handler generates names. */
const MOST_REPORTED = 20

/**
 * Events from a handler to its watchers. An event that can't be sent is left out and reported once for each name. The attempt goes on, so
 * it runs the same with and without watchers.
 *
 * @param send sends an event to the watchers
 * @param report reports which event was left out, and why
 * @throws {UnrecoverableError} `BAD_EVENT` for an invalid name
 */
export function eventGate(
  send: (name: string, data: unknown) => void,
  report: (message: string) => void,
): (name: string, data?: unknown) => void {
  const reported = new Set<string>()
  return (name, data) => {
    checkEventName(name)
    let kept: unknown
    try {
      kept = data === undefined ? undefined : keepValue(data, 'event')
    } catch (error) {
      if (reported.has(name) || reported.size === MOST_REPORTED) return
      reported.add(name)
      report(`the event '${name}' was not sent: ${(error as Error).message}`)
      return
    }
    send(name, kept)
  }
}
