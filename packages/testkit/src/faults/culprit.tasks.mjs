import { setTimeout as sleep } from 'node:timers/promises'
import { defineTask } from '@taskfleet/worker'

/** Takes anything: what this file tests is not the input. */
const anything = { '~standard': { version: 1, vendor: 'test', validate: (value) => ({ value }) } }

/** The ends of a process that nothing in it can hold up. */
const ENDS = {
  kill: () => process.kill(process.pid, 'SIGKILL'),
  abort: () => process.abort(),
  'segmentation fault': () => process.kill(process.pid, 'SIGSEGV'),
  'out of memory': () => {
    for (const held = []; ; ) held.push(new Array(100_000).fill(held.length))
  },
}

const wait = async ({ input, task, signal }) => {
  await sleep(input.ms, undefined, { signal })
  return { attempt: task.attempt }
}

/** Harms nobody. */
export const good = defineTask({ name: 'good', input: anything, run: wait })

/** Ends its process, each time after a while. */
export const culprit = defineTask({
  name: 'culprit',
  input: anything,
  run: async (context) => {
    await wait(context)
    ENDS[context.input.end]()
  },
})
