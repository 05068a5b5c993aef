import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { MONGOD, ReplicaSet } from '@taskfleet/testkit/replica-set'

/** Runs the whole suite on a replica set of three real `mongod` processes, with the tests tagged `@mongod`. */
if (MONGOD === undefined) {
  process.stderr.write('Set TASKFLEET_TEST_MONGOD to the path of a mongod, 7.0 or later.\n')
  process.exit(2)
}

const set = await ReplicaSet.start()
try {
  const suite = spawn('vitest', ['run', ...process.argv.slice(2)], {
    stdio: 'inherit',
    shell: process.platform === 'win32',
    env: { ...process.env, TASKFLEET_MONGO_URI: set.uri },
  })
  const [code] = (await once(suite, 'exit')) as [number | null]
  process.exitCode = code ?? 1
} finally {
  await set.stop()
}
