import { execFile } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import type { TaskDocument } from '@taskfleet/core'
import { type NewTask, parseNewTask } from '@taskfleet/core/internal'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { countFault } from '../count-fault.ts'
import { checkInvariants } from '../describe-task-store.ts'
import { eventually, useFleet } from '../fleet/use-fleet.ts'
import { WorkerProcess } from './worker-process.ts'

const TASKS = fileURLToPath(new URL('./effects.tasks.mjs', import.meta.url))
const HOUR_MS = 3_600_000
const LEASE_MS = 2_000
const SKEWS = { ahead: '+1h', behind: '-1h' } as const
type Skew = keyof typeof SKEWS
const BOTH = Object.keys(SKEWS) as Skew[]

/** The path of the library that fakes the clock, from its own command. */
const library = await promisify(execFile)('faketime', ['-m', '-f', '+0', 'printenv', 'LD_PRELOAD']).then(
  ({ stdout }) => stdout.trim(),
  () => undefined,
)
const name = 'workers whose clocks are an hour ahead and an hour behind'

describe.skipIf(library === undefined)(
  library === undefined ? `${name} (skipped: no 'faketime' on the PATH; Debian: apt-get install faketime)` : name,
  () => {
    const fleet = useFleet()
    const workers: WorkerProcess[] = []
    let folder: string
    beforeEach(async () => {
      folder = await mkdtemp(join(tmpdir(), 'taskfleet-skew-'))
    })
    afterEach(async () => {
      await Promise.all(workers.splice(0).map((worker) => worker.signal('SIGKILL')))
      await rm(folder, { recursive: true, force: true })
    })

    const start = async (skew: Skew, queue: string): Promise<WorkerProcess> => {
      const args = ['--lease', String(LEASE_MS), '--concurrency', '1', '--queues', queue, '--name', skew]
      const env = { LD_PRELOAD: library, FAKETIME: SKEWS[skew], FAKETIME_DONT_FAKE_MONOTONIC: '1' }
      const worker = await WorkerProcess.start({ mongo: fleet.uri, tasks: TASKS, args, env })
      workers.push(worker)
      countFault('clock of a worker off by an hour')
      return worker
    }
    const serverNow = (): number => fleet.database.clock.now().getTime()
    const post = async (over: Partial<NewTask>, work = { steps: 1, stepMs: 10 }): Promise<TaskDocument> => {
      const input = { journal: join(folder, 'journal'), ...work }
      const [task] = await fleet.fleet.store.enqueue([{ ...parseNewTask({ name: 'effects', input }), ...over }])
      return task!
    }

    test.each(BOTH)(
      'the one %s takes up tasks in the usual order',
      async (skew) => {
        const queue = `order-${skew}`
        const priorities = [2, 9, 5, 5, 8, 1, 10]
        const tasks: TaskDocument[] = []
        for (const priority of priorities) tasks.push(await post({ queue, priority }))
        tasks.push(await post({ queue, priority: 5, position: 'front' }))
        const [low, nine, five, fiveToo, eight, one, ten, front] = tasks.map(({ _id }) => _id.toHexString())
        await start(skew, queue)
        const ended = await Promise.all(tasks.map(({ _id }) => fleet.ended(_id)))
        const inOrder = ended
          .sort((a, b) => a.claimedAt!.getTime() - b.claimedAt!.getTime())
          .map(({ _id }) => String(_id))
        expect(inOrder).toEqual([ten, nine, eight, front, five, fiveToo, low, one])
        // Its clock was indeed another one.
        const { clock } = ended[0]!.output as { clock: number }
        const off = clock - serverNow()
        expect(Math.abs(off - (skew === 'ahead' ? HOUR_MS : -HOUR_MS))).toBeLessThan(60_000)
      },
      60_000,
    )

    test.each(BOTH)(
      'the one %s runs a task of the future when its time has come by the server',
      async (skew) => {
        const queue = `future-${skew}`
        await start(skew, queue)
        const runAt = new Date(serverNow() + 2_500)
        const ended = await fleet.ended((await post({ queue, runAt }))._id)
        const late = ended.claimedAt!.getTime() - runAt.getTime()
        expect(late).toBeGreaterThanOrEqual(0)
        expect(late).toBeLessThan(1_500)
      },
      60_000,
    )

    test.each(BOTH)(
      'the one %s makes the task of a schedule when its slot has come by the server, and not again',
      async (skew) => {
        const queue = `schedule-${skew}`
        await start(skew, queue)
        const startsAt = new Date(serverNow() + 2_500)
        const input = { journal: join(folder, 'journal'), steps: 1, stepMs: 1 }
        await fleet.fleet
          .schedulesFor()
          .create({ _id: queue, task: 'effects', input, options: { queue }, every: '50m', startsAt })
        const moved = await eventually(async () => {
          const schedule = await fleet.fleet.schedules.find(queue)
          return schedule.lastTask !== undefined && schedule
        })
        expect(moved.nextAt!.getTime() - startsAt.getTime()).toBe(50 * 60_000)
        const late = moved.updatedAt.getTime() - startsAt.getTime()
        expect(late).toBeGreaterThanOrEqual(-50)
        expect(late).toBeLessThan(1_500)
        await fleet.ended(moved.lastTask!)
        expect(await fleet.fleet.tasks.countDocuments({ schedule: queue })).toBe(1)
      },
      60_000,
    )

    test.each(BOTH)(
      'a lease held by the one %s is respected by the other for as long as it is renewed',
      async (skew) => {
        const queue = `lease-${skew}`
        const holder = await start(skew, queue)
        const task = await post({ queue }, { steps: 5, stepMs: LEASE_MS / 2 })
        await fleet.until(task._id, ({ status }) => status === 'running')
        await start(other(skew), queue)
        const ended = await fleet.ended(task._id)
        expect(ended).toMatchObject({ status: 'completed', attempt: 1, lost: 0 })
        expect(ended.attempts[0]!.worker).toBe(holder.id)
        checkInvariants(ended)
      },
      60_000,
    )

    test.each(BOTH)(
      'the task of the one %s is taken back when its lease has expired by the server, by the other',
      async (skew) => {
        const queue = `reap-${skew}`
        const [holder, reaper] = [await start(skew, queue), await start(other(skew), 'elsewhere')]
        const task = await post({ queue }, { steps: 100, stepMs: LEASE_MS })
        await fleet.until(task._id, ({ status }) => status === 'running')
        await holder.signal('SIGKILL')
        countFault('worker killed')
        const until = (await fleet.fleet.workers.find(holder.id!))!.until!
        const reaped = await fleet.until(task._id, ({ status }) => status === 'pending')
        expect(reaper.alive).toBe(true)
        expect(reaped).toMatchObject({ attempt: 1, lost: 1, error: { code: 'WORKER_LOST' } })
        const late = reaped.attempts[0]!.endedAt!.getTime() - until.getTime()
        expect(late).toBeGreaterThanOrEqual(0)
        expect(late).toBeLessThan(2 * LEASE_MS)
        checkInvariants(reaped)
      },
      60_000,
    )

    test.each(BOTH)(
      'the one %s raises a task near its deadline and at it by the server',
      async (skew) => {
        await start(skew, `deadline-${skew}`)
        const deadline = new Date(serverNow() + 4_000)
        // No worker serves it, but it is still raised.
        const task = await post({ queue: 'nobodys', priority: 2, deadline })
        const near = await fleet.until(task._id, ({ priority }) => priority > 2)
        expect(near.priority).toBe(8)
        expect(near.updatedAt.getTime()).toBeGreaterThanOrEqual(task.raiseAt!.getTime())
        const missed = await fleet.until(task._id, ({ deadlineMissedAt }) => deadlineMissedAt !== undefined)
        expect(missed.priority).toBe(10)
        const late = missed.deadlineMissedAt!.getTime() - deadline.getTime()
        expect(late).toBeGreaterThanOrEqual(0)
        expect(late).toBeLessThan(1_500)
      },
      60_000,
    )
  },
)

const other = (skew: Skew): Skew => (skew === 'ahead' ? 'behind' : 'ahead')
