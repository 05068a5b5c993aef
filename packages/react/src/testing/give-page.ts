import { Window } from 'happy-dom'

/**
 * A page to render into, for tests that need plain Node with threads and files, which vitest's own browser environment
 * replaces. Import it before React's renderer.
 */
const window = new Window()
const { document, navigator } = window
for (const [name, value] of Object.entries({ window, document, navigator })) {
  // Later versions of Node have a navigator of their own.
  Object.defineProperty(globalThis, name, { configurable: true, value })
}
