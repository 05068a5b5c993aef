import type { TestProject } from 'vitest/node'
import { startMongo } from '../database/resolve/index.ts'

declare module 'vitest' {
  interface ProvidedContext {
    mongoUri: string
  }
}

/** One real database for the whole run; every test file takes a fresh name in it. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const mongo = await startMongo({ log: (line) => process.stdout.write(`${line}\n`) })
  project.provide('mongoUri', mongo.uri)
  return () => mongo.stop()
}
