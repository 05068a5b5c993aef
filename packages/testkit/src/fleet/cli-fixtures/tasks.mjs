import { setTimeout as sleep } from 'node:timers/promises'
import { defineTask } from '@taskfleet/worker'
import { z } from 'zod'

export const count = defineTask({
  name: 'count',
  input: z.object({ to: z.int() }),
  async run({ input, progress, signal }) {
    for (let done = 1; done <= input.to; done += 1) {
      progress({ done, total: input.to, message: 'a\u001b[31mred\u202e' })
      await sleep(20, undefined, { signal })
    }
    return input.to
  },
})

export default [
  defineTask({
    name: 'endless',
    input: z.object({}),
    run: ({ signal }) => new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason))),
  }),
]
