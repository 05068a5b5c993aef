import type { EventEmitter } from 'node:events'

/**
 * Calls every listener, as `emit` does. A listener that throws, or whose promise is rejected, is reported; the others are called all
 * the same.
 *
 * @returns whether there was a listener
 */
export function tellListeners(
  emitter: EventEmitter,
  event: string | symbol,
  args: readonly unknown[],
  onFailure: (error: unknown) => void,
): boolean {
  // With their wrappers, so that `once` listeners are removed.
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
