import { readFileSync } from 'node:fs'
import { cpus, totalmem } from 'node:os'
import { Fleet, type TaskDocument } from '@taskfleet/core'
import { parseNewTask } from '@taskfleet/core/internal'
import { startMongo } from '@taskfleet/dev-mongo'
import type { EnqueueRequest } from '@taskfleet/protocol'

/** A fleet on a database of its own, for one bench. */
export interface Bed {
  fleet: Fleet
  uri: string
  /** The process of the database; undefined for one that runs elsewhere. */
  serverPid: number | undefined
  /** `end` is called when the bench has ended, or failed. The last one is called first. */
  defer(end: () => unknown): void
}

/** Runs a bench, after it has printed what it runs on. */
export async function onBed(run: (bed: Bed) => Promise<void>): Promise<void> {
  const mongo = await startMongo({ log: (line) => process.stdout.write(`${line}\n`) })
  const address = new URL(mongo.uri)
  address.pathname = `/bench_${Date.now()}`
  const fleet = await Fleet.connect(address.href)
  process.stdout.write(
    `Node ${process.version}, ${cpus().length} × ${cpus()[0]?.model ?? 'unknown'}, ${Math.round(totalmem() / 2 ** 30)} GiB, database ${mongo.source}\n`,
  )
  const ends: (() => unknown)[] = [() => mongo.stop(), () => fleet.close(), () => drop(fleet)]
  try {
    await run({
      fleet,
      uri: address.href,
      serverPid: 'pid' in mongo ? mongo.pid : undefined,
      defer: (end) => void ends.push(end),
    })
  } finally {
    for (const end of ends.reverse()) await end()
  }
}

/** A server may take too long to drop a million documents. The figures are printed already. */
const drop = (fleet: Fleet): Promise<unknown> =>
  fleet.database.db
    .dropDatabase()
    .catch((error: Error) => process.stdout.write(`the database was not dropped: ${error.message}\n`))

/** Stores equal tasks. */
export const storeTasks = (fleet: Fleet, count: number, task: EnqueueRequest): Promise<TaskDocument[]> =>
  fleet.store.enqueue(Array.from({ length: count }, () => parseNewTask(task)))

export function quantile(values: readonly number[], part: number): number {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? Number.NaN
}

export const median = (values: readonly number[]): number => quantile(values, 0.5)

/** Ticks of `/proc/<pid>/stat` are hundredths of a second. */
const TICK_MS = 10

/** User and system time of a process of this machine. */
export function serverCpuMs(pid: number | undefined): number {
  if (pid === undefined) return Number.NaN
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]!.split(' ')
  return (Number(fields[11]) + Number(fields[12])) * TICK_MS
}
