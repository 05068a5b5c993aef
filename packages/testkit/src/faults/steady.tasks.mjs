import { appendFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { defineTask } from '@taskfleet/worker'

/** Takes anything: what this file tests is not the input. */
const anything = { '~standard': { version: 1, vendor: 'test', validate: (value) => ({ value }) } }

/** Notes its begin and end in a file, so that a test can see from outside who ran when. */
export default defineTask({
  name: 'steady',
  input: anything,
  retry: { maxAttempts: 50, backoff: { base: 50, jitter: false } },
  async run({ input, task, signal }) {
    const note = (what) =>
      appendFileSync(
        input.journal,
        `${JSON.stringify({ id: task.id, attempt: task.attempt, lease: task.leaseId, what, at: Date.now() })}\n`,
      )
    note('begin')
    await sleep(input.ms, undefined, { signal })
    note('end')
    return { attempt: task.attempt }
  },
})
