import { Isolates } from './isolates.ts'
import { testContext } from './test-context.ts'
import { handler } from './test-handlers.mjs'

/** A worker for a test to kill. Its handler blocks in a process of its own, and prints the pid. */
const isolates = new Isolates()
isolates
  .run(
    handler('blocks', 'process'),
    testContext({ onLog: (_, message) => process.stdout.write(`${message}\n`) }).context,
  )
  .result.catch(() => undefined)
