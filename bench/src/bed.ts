import { cpus, totalmem } from 'node:os'
import { Fleet } from '@taskfleet/core'
import { startMongo } from '@taskfleet/dev-mongo'

/** A fleet on a database of its own; says what it runs on. */
export async function openBed(): Promise<{ fleet: Fleet; uri: string; close: () => Promise<void> }> {
  const mongo = await startMongo({ log: (line) => process.stdout.write(`${line}\n`) })
  const address = new URL(mongo.uri)
  address.pathname = `/bench_${Date.now()}`
  const fleet = await Fleet.connect(address.href)
  process.stdout.write(
    `Node ${process.version}, ${cpus().length} × ${cpus()[0]?.model ?? 'unknown'}, ${Math.round(totalmem() / 2 ** 30)} GiB, database ${mongo.source}\n`,
  )
  return {
    fleet,
    uri: address.href,
    close: async () => {
      // A server that takes long to drop a million documents has given its figures already.
      await fleet.database.db
        .dropDatabase()
        .catch((error: Error) => process.stdout.write(`not dropped: ${error.message}\n`))
      await fleet.close()
      await mongo.stop()
    },
  }
}

export function quantile(values: readonly number[], part: number): number {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? Number.NaN
}

export const median = (values: readonly number[]): number => quantile(values, 0.5)
