import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'

/** The built command, as users start it. */
export const MAIN = createRequire(import.meta.url).resolve('taskfleet/main')

/** Keeps the gate open, because the machine that runs the tests may have other work. */
export const OPEN_GATE = JSON.stringify({
  cpu: { lazy: null },
  memoryLeft: { lazy: null, all: null },
  eventLoopDelayMs: { lazy: null, all: null },
})

/** The path of a module of tasks that tests share. */
export const fixture = (name: string): string => fileURLToPath(new URL(`./cli-fixtures/${name}`, import.meta.url))
