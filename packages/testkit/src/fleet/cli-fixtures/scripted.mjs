import { setTimeout as sleep } from 'node:timers/promises'
import { defineTask } from '@taskfleet/worker'
import { z } from 'zod'

/** As the scripted task of the tests, for a process of its own; it knows how to sleep. */
export const scripted = defineTask({
  name: 'scripted',
  input: z.object({ steps: z.array(z.object({ do: z.string(), ms: z.number().optional() })) }),
  async run({ input, signal }) {
    for (const { ms = 0 } of input.steps) await sleep(ms, undefined, { signal })
  },
})
