import type { EventEmitter } from 'node:events'

/**
 * Tells every listener, as `emit` does; one that throws, or whose promise is rejected, is reported, and the others and the
 * caller go on.
 *
 * @returns whether there was a listener
 */
export function tellListeners(
  emitter: EventEmitter,
  event: string | symbol,
  args: readonly unknown[],
  onFailure: (error: unknown) => void,
): boolean {
  // With their wrappers, so that those for one time are gone after it.
  const listeners = emitter.rawListeners(event)
  for (const listener of listeners) {
    try {
      const answer: unknown = Reflect.apply(listener, emitter, args)
      if (answer instanceof Promise) answer.catch(onFailure)
    } catch (error) {
      onFailure(error)
    }
  }
  return listeners.length > 0
}
