import { createMemoryHistory } from '@tanstack/react-router'
import { cleanup, render, screen, waitFor } from '@testing-library/react'
import { App } from '../app.tsx'
import { createMonitorRouter, loadPages } from '../router.tsx'
import type { FakeFleet } from './fake-fleet.ts'

// Before the tests, so that the first of them doesn't wait for all pages.
await loadPages()

/** Everything is on the screen: there is no layout in happy-dom that could say otherwise. */
class AllVisible {
  readonly #tell: IntersectionObserverCallback
  constructor(tell: IntersectionObserverCallback) {
    this.#tell = tell
  }
  observe(target: Element): void {
    const entry = { isIntersecting: true, target } as IntersectionObserverEntry
    queueMicrotask(() => this.#tell([entry], this as unknown as IntersectionObserver))
  }
  unobserve(): void {}
  disconnect(): void {}
}

/** Sizes never change. */
class FixedSize {
  observe(): void {}
  unobserve(): void {}
  disconnect(): void {}
}

/** A window of 1280 × 800 for everything that asks its size. */
function giveLayout(): void {
  Object.defineProperty(HTMLElement.prototype, 'clientWidth', { configurable: true, get: () => 1_280 })
  Object.defineProperty(HTMLElement.prototype, 'clientHeight', { configurable: true, get: () => 800 })
  globalThis.ResizeObserver = FixedSize
  globalThis.IntersectionObserver = AllVisible as unknown as typeof IntersectionObserver
}

/** Another object for each connection, as real clients are. */
function clientOf(fleet: FakeFleet): FakeFleet {
  return new Proxy(fleet, {
    get: (target, property) => {
      const value: unknown = Reflect.get(target, property)
      return typeof value === 'function' ? value.bind(target) : value
    },
  })
}

/** The whole monitor at a path, over a fake fleet. */
export async function renderMonitor(fleet: FakeFleet, path = '/') {
  giveLayout()
  const router = createMonitorRouter({ history: createMemoryHistory({ initialEntries: [path] }) })
  const connected: (string | undefined)[] = []
  const kept: string[] = []
  render(
    <App
      connect={(token) => {
        connected.push(token)
        return clientOf(fleet)
      }}
      token="tf_test"
      onToken={(token) => kept.push(token)}
      router={router}
    />,
  )
  await waitFor(() => screen.getByRole('main'))
  return { router, connected, kept }
}

export { cleanup }
