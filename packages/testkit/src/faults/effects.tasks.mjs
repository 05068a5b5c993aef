import { appendFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { defineTask } from '@taskfleet/worker'
import { faultPoint } from '../../dist/faults/fault-point.js'

/** Takes anything: what this file tests is not the input. */
const anything = { '~standard': { version: 1, vendor: 'test', validate: (value) => ({ value }) } }

/** Appends its side effects to a file, and starts none without being sure of its lease. */
export default defineTask({
  name: 'effects',
  input: anything,
  retry: { maxAttempts: 50, backoff: { base: 50, jitter: false } },
  async run({ input, task, signal }) {
    const note = (what) =>
      appendFileSync(
        input.journal,
        `${JSON.stringify({ id: task.id, attempt: task.attempt, lease: task.leaseId, what })}\n`,
      )
    faultPoint('handler', 'start')
    note('begin')
    for (let step = 1; step <= input.steps; step += 1) {
      if (step === 2) faultPoint('handler', 'middle')
      // On a busy machine it may be unsure for a while.
      note(task.owned ? 'effect' : 'unsure')
      await sleep(input.stepMs, undefined, { signal })
    }
    return { attempt: task.attempt, clock: Date.now() }
  },
})
