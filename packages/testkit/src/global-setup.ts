import { type RunningMongo, startMongo } from '@taskfleet/dev-mongo'
import type { TestProject } from 'vitest/node'

declare module 'vitest' {
  interface ProvidedContext {
    /** One server for each process that runs test files. */
    mongoUris: readonly string[]
  }
}

/**
 * Real databases for the whole run; every test file takes a fresh name in one. Files that run at the same time have a server each,
 * since a slow shared one would delay both. A database of the user's own serves all.
 */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const first = await startMongo({ log: (line) => process.stdout.write(`${line}\n`) })
  const running: RunningMongo[] = [first]
  const servers = first.source === 'uri' ? 1 : Number(project.config.maxWorkers)
  while (running.length < servers) running.push(await startMongo({ prefer: first.source }))
  project.provide(
    'mongoUris',
    running.map(({ uri }) => uri),
  )
  return async () => {
    for (const mongo of running) await mongo.stop()
  }
}
