import { setTimeout as sleep } from 'node:timers/promises'
import { defineTask } from '@taskfleet/worker'

const anything = { '~standard': { version: 1, vendor: 'test', validate: (value) => ({ value }) } }

/** As it was before the deploy. */
export default defineTask({
  name: 'rolling',
  input: anything,
  async run({ input, signal }) {
    await sleep(input.ms, undefined, { signal })
    return { by: 1, ran: input }
  },
})
