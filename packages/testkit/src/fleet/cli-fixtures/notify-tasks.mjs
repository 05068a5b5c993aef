import { defineTask } from '@taskfleet/worker'
import { z } from 'zod'

/** The parent process does the work. */
export const outside = defineTask({
  name: 'outside',
  input: z.object({ n: z.int() }),
  retry: { maxAttempts: 2, backoff: { base: 10, jitter: false } },
  notify: true,
})

export const inside = defineTask({ name: 'inside', input: z.object({}), run: () => 'done here' })
