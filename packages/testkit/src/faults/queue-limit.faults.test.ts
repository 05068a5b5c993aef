import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import type { TaskDocument } from '@taskfleet/core'
import { parseNewTask } from '@taskfleet/core/internal'
import { expect, test } from 'vitest'
import { countFault } from '../count-fault.ts'
import { checkInvariants } from '../describe-task-store.ts'
import { useFleet } from '../fleet/use-fleet.ts'
import { freesUniqueValues } from '../frees-unique-values.ts'
import { randomOf } from '../live/write-history.ts'
import { RunningRecord } from './running-record.ts'
import { WorkerProcess } from './worker-process.ts'

const TASKS = fileURLToPath(new URL('./steady.tasks.mjs', import.meta.url))
const SECONDS = Number(process.env.TASKFLEET_SECONDS ?? 90)
const WORKERS = 4
const LIMIT = 5
const QUEUE = 'narrow'
const FULL_WITHIN_MS = 10_000
/** A limit, so that a failing test reports its error. */
const GIVE_UP_MS = 60_000
const fleet = useFleet()

interface Note {
  id: string
  lease: string
  what: 'begin' | 'end'
  at: number
}

/** The most handlers that ran at once by their own account, a killed one until its process had gone. */
function mostAtOnce(notes: readonly Note[], endOf: (lease: string) => number): number {
  const ends = new Map(notes.filter(({ what }) => what === 'end').map(({ lease, id, at }) => [lease + id, at]))
  const steps = notes
    .filter(({ what }) => what === 'begin')
    .flatMap(({ lease, id, at }) => [
      { at, step: 1 },
      { at: Math.max(at, ends.get(lease + id) ?? endOf(lease)), step: -1 },
    ])
    .sort((a, b) => a.at - b.at || a.step - b.step)
  let now = 0
  let most = 0
  for (const { step } of steps) {
    now += step
    most = Math.max(most, now)
  }
  return most
}

test(`for ${SECONDS} s workers are killed: never more than ${LIMIT} of a queue run in the whole fleet, and soon ${LIMIT} again`, async (context) => {
  const { uri, database } = fleet
  context.skip(!(await freesUniqueValues(database.db)), 'this server never frees a unique value that was updated away')
  const seed = Number(process.env.TASKFLEET_SEED ?? Date.now() % 2 ** 31)
  process.stdout.write(`seed ${seed}\n`)
  const random = randomOf(seed)
  const folder = await mkdtemp(join(tmpdir(), 'taskfleet-limit-'))
  fleet.cleanup(() => rm(folder, { recursive: true, force: true }))
  const journal = join(folder, 'journal')
  const record = await RunningRecord.open(database.db)
  fleet.cleanup(() => record.close())
  await fleet.fleet.as().queues.limit({ name: QUEUE, limits: { concurrency: LIMIT } })

  // More than can run, so that tasks always wait.
  const wanted = Array.from({ length: SECONDS * LIMIT + 100 }, () =>
    parseNewTask({ name: 'steady', queue: QUEUE, input: { ms: 700 + Math.floor(random() * 600), journal } }),
  )
  for (let at = 0; at < wanted.length; at += 500) await fleet.fleet.store.enqueue(wanted.slice(at, at + 500))
  const workers: WorkerProcess[] = []
  const killedAt = new Map<string, number>()
  fleet.cleanup(() => Promise.all(workers.map((worker) => worker.signal('SIGKILL'))))
  const startWorker = async (): Promise<void> => {
    workers.push(
      await WorkerProcess.start({ mongo: uri, tasks: TASKS, args: ['--queues', QUEUE, '--concurrency', '10'] }),
    )
  }
  await Promise.all(Array.from({ length: WORKERS }, startWorker))
  const kill = async (worker: WorkerProcess): Promise<void> => {
    await worker.signal('SIGKILL')
    countFault('worker killed')
    killedAt.set(worker.id, Date.now())
  }

  /** Milliseconds until the limit of tasks runs, at live workers. */
  const untilFull = async (): Promise<number> => {
    const from = performance.now()
    const took = (): number => performance.now() - from
    while (record.runningAt((worker) => !killedAt.has(worker)) < LIMIT && took() < GIVE_UP_MS) await sleep(5)
    return took()
  }
  await untilFull()
  const until = performance.now() + SECONDS * 1_000
  const kills: { held: number; ms: number }[] = []
  while (performance.now() < until) {
    await sleep(500 + random() * 3_000)
    const living = workers.filter(({ alive }) => alive)
    const from = Math.floor(random() * living.length)
    const victims = [living[from]!, living[(from + 1) % living.length]!].slice(0, random() < 0.7 ? 1 : 2)
    const held = record.runningAt((worker) => victims.some(({ id }) => id === worker))
    await Promise.all(victims.map(kill))
    const [ms] = await Promise.all([untilFull(), ...victims.map(startWorker)])
    kills.push({ held, ms })
  }
  await Promise.all(workers.map((worker) => worker.signal('SIGTERM')))

  const tasks = await fleet.fleet.tasks.find().toArray()
  const said = (of: string): number => tasks.filter(({ status }) => status === of).length
  const sorted = kills.map(({ ms }) => ms).sort((a, b) => a - b)
  process.stdout.write(
    `seed ${seed}: ${killedAt.size} workers killed in ${kills.length} blows that struck ${kills.map(({ held }) => held).join(' ')} tasks; at most ${record.most} ran; ` +
      `full again in ${(sorted[Math.floor(sorted.length / 2)]! / 1_000).toFixed(1)} s (median), ${(sorted.at(-1)! / 1_000).toFixed(1)} s at most; ` +
      `${said('completed')} completed, ${said('pending')} wait\n`,
  )
  // By the database's own account.
  expect(record.faults, `seed ${seed}`).toEqual([])
  expect(record.most, `seed ${seed}: the most that ran at once`).toBe(LIMIT)
  expect(sorted.filter((ms) => ms > FULL_WITHIN_MS)).toEqual([])
  const stored = Object.fromEntries(tasks.map(({ _id, status }) => [_id.toHexString(), status]))
  await expect.poll(() => record.statuses(), { timeout: 10_000 }).toEqual(stored)
  expect(await fleet.fleet.store.slots()).toEqual([])
  // None lost, each as it should be.
  expect(Object.keys(stored).sort()).toEqual(wanted.map(({ _id }) => _id.toHexString()).sort())
  expect(said('completed') + said('pending'), JSON.stringify(tasks.find(isNeither))).toBe(wanted.length)
  for (const task of tasks) checkInvariants(task)
  // From outside: by the handlers themselves.
  const notes = (await readFile(journal, 'utf8'))
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Note)
  const ownerOf = new Map(
    tasks.flatMap(({ attempts }) => attempts.map(({ lease, worker }) => [lease, worker] as const)),
  )
  expect(notes.filter(({ lease }) => !ownerOf.has(lease))).toEqual([])
  expect(mostAtOnce(notes, (lease) => killedAt.get(ownerOf.get(lease)!) ?? Number.POSITIVE_INFINITY)).toBe(LIMIT)
  const ended = new Set(notes.filter(({ what }) => what === 'end').map(({ id, lease }) => id + lease))
  for (const { _id, status, attempts } of tasks) {
    if (status === 'completed') expect(ended.has(_id.toHexString() + attempts.at(-1)!.lease)).toBe(true)
  }
})

const isNeither = ({ status }: TaskDocument): boolean => status !== 'completed' && status !== 'pending'
