import { setTimeout as sleep } from 'node:timers/promises'
import { defineTask } from '@taskfleet/worker'
import { z } from 'zod'

/** Runs for ever, to be interrupted. */
export default defineTask({
  name: 'sleeper',
  input: z.object({}),
  run: ({ signal }) => sleep(2 ** 31 - 1, null, { signal }),
})
