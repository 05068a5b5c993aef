import { setTimeout as sleep } from 'node:timers/promises'
import { defineTask } from '@taskfleet/worker'

/** Takes anything: what this file tests is not the input. */
const anything = { '~standard': { version: 1, vendor: 'test', validate: (value) => ({ value }) } }

/** Reports five times a second until it is stopped. With a new checkpoint, a task that was lost with its host is trusted at once. */
export default defineTask({
  name: 'moving',
  input: anything,
  async run({ progress, checkpoint, signal }) {
    const begun = (checkpoint.state?.done ?? 0) + 1
    await checkpoint.save({ done: begun })
    for (let done = begun; ; done += 1) {
      progress({ done, total: 100_000, unit: 'frames' })
      await sleep(200, undefined, { signal })
    }
  },
})
