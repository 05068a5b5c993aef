import { checkEventName } from './event-name.ts'
import { keepValue } from './keep-value.ts'

/** Beyond this, a handler that makes up names is told of no more of them. */
const MOST_TOLD = 20

/**
 * What a handler tells those who watch. Perhaps nobody does, and its work does not rest on it. So an event that can't be sent is left
 * out and told of once for its name, and the attempt goes on the same whether or not somebody watches.
 *
 * @param send what a watcher gets
 * @param tell says which event was left out, and why
 * @throws {UnrecoverableError} `BAD_EVENT` where the name is none
 */
export function eventGate(
  send: (name: string, data: unknown) => void,
  tell: (message: string) => void,
): (name: string, data?: unknown) => void {
  const told = new Set<string>()
  return (name, data) => {
    checkEventName(name)
    let kept: unknown
    try {
      kept = data === undefined ? undefined : keepValue(data, 'event')
    } catch (error) {
      if (told.has(name) || told.size === MOST_TOLD) return
      told.add(name)
      tell(`the event '${name}' was not sent: ${(error as Error).message}`)
      return
    }
    send(name, kept)
  }
}
