import { setTimeout as sleep } from 'node:timers/promises'
import { defineTask } from '@taskfleet/worker'

/** Takes anything: what this file tests is not the input. */
const anything = { '~standard': { version: 1, vendor: 'test', validate: (value) => ({ value }) } }

/** Reports five times a second until it is stopped. */
export default defineTask({
  name: 'moving',
  input: anything,
  async run({ progress, signal }) {
    for (let done = 0; ; done += 1) {
      progress({ done, total: 100_000, unit: 'frames' })
      await sleep(200, undefined, { signal })
    }
  },
})
