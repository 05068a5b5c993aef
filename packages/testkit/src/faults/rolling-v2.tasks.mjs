import { setTimeout as sleep } from 'node:timers/promises'
import { defineTask } from '@taskfleet/worker'

/** Knows version 2's messages only: an older one must have been brought up. */
const seconds = {
  '~standard': {
    version: 1,
    vendor: 'test',
    validate: (value) => (typeof value.seconds === 'number' ? { value } : { issues: [{ message: 'no seconds' }] }),
  },
}

/** As it is after the deploy. */
export default defineTask({
  name: 'rolling',
  version: 2,
  input: seconds,
  upgrade: { 1: ({ ms }) => ({ seconds: ms / 1_000 }) },
  async run({ input, signal }) {
    await sleep(input.seconds * 1_000, undefined, { signal })
    return { by: 2, ran: input }
  },
})
