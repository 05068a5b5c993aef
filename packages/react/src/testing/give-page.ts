import { Window } from 'happy-dom'

/**
 * A page to render into for tests that need Node as it is, with threads and files: vitest's own environment for it takes
 * those for a browser's. To be imported before React's renderer.
 */
const window = new Window()
const { document, navigator } = window
for (const [name, value] of Object.entries({ window, document, navigator })) {
  // Later versions of Node have a navigator of their own.
  Object.defineProperty(globalThis, name, { configurable: true, value })
}
