import { AsyncResource } from 'node:async_hooks'
import { setTimeout as sleep } from 'node:timers/promises'
import { defineTask } from '@taskfleet/worker'
import { z } from 'zod'

/** In nobody's name: what a module does by itself. */
const outside = new AsyncResource('outside')
const input = z.object({})
const retry = { maxAttempts: 2, backoff: { base: 50, cap: 50 } }
const module = import.meta.url

/** Goes on for ever, whatever its signal says. */
export const deaf = defineTask({ name: 'deaf', input, run: () => new Promise(() => setInterval(() => undefined, 50)) })
/** Blocks the event loop as soon as it is told to stop. */
export const blocking = defineTask({
  name: 'blocking',
  input,
  run: ({ signal }) =>
    new Promise(() => {
      signal.addEventListener('abort', () => {
        for (;;);
      })
    }),
})
/** Blocks a process of its own from the beginning, and says which. */
export const isolated = defineTask({
  name: 'isolated',
  input,
  isolate: 'process',
  module,
  run: async ({ checkpoint }) => {
    await checkpoint.save({ pid: process.pid })
    for (;;);
  },
})
/** Stops when it is told to. */
export const good = defineTask({ name: 'good', input, run: ({ signal }) => sleep(60_000, undefined, { signal }) })
export const soon = defineTask({ name: 'soon', input, run: () => sleep(1_500, 'whole') })
export const exits = defineTask({ name: 'exits', input, retry, run: () => process.exit(9) })
export const rejects = defineTask({
  name: 'rejects',
  input,
  retry,
  run: ({ signal }) => {
    void Promise.reject(new Error('nobody awaits this'))
    return sleep(60_000, undefined, { signal })
  },
})
/** Throws where it can't be known who did. */
export const hidden = defineTask({
  name: 'hidden',
  input,
  retry: { maxAttempts: 1 },
  run: ({ signal }) => {
    outside.runInAsyncScope(() =>
      setTimeout(() => {
        throw new Error('whose is this?')
      }, 20),
    )
    return sleep(60_000, undefined, { signal })
  },
})
