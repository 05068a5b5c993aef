import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseId } from '@taskfleet/core/internal'
import { expect, test } from 'vitest'
import { countFault } from '../count-fault.ts'
import { eventually, useFleet } from '../fleet/use-fleet.ts'
import { WorkerProcess } from './worker-process.ts'

const TASKS = fileURLToPath(new URL('./effects.tasks.mjs', import.meta.url))
const fleet = useFleet()

test.each(['kill', 'stop'] as const)(
  'a worker that is struck by %s after it made the task of a slot and before it moved the schedule on: the slot has one task',
  async (action) => {
    const folder = await mkdtemp(join(tmpdir(), 'taskfleet-schedule-'))
    fleet.cleanup(() => rm(folder, { recursive: true, force: true }))
    const name = `nightly-${action}`
    const args = ['--queues', name]
    const victim = await WorkerProcess.start({
      mongo: fleet.uri,
      tasks: TASKS,
      args,
      env: { TASKFLEET_FAULTS: `schedule.middle=${action}` },
    })
    fleet.cleanup(() => victim.signal('SIGKILL'))
    const slot = new Date(fleet.database.clock.now().getTime() + 1_000)
    await fleet.fleet.schedulesFor().create({
      _id: name,
      task: 'effects',
      input: { journal: join(folder, 'journal'), steps: 1, stepMs: 1 },
      options: { queue: name },
      every: '1h',
      startsAt: slot,
    })
    await victim.line('"fault"')
    countFault(action === 'kill' ? 'worker killed at a point' : 'worker stopped at a point')
    if (action === 'kill') await victim.exited
    const ofSchedule = fleet.fleet.tasks.find({ schedule: name })
    const [made, ...none] = await ofSchedule.clone().toArray()
    expect(none).toEqual([])
    // Killed in between: the task exists, and the schedule has not moved on.
    expect(await fleet.fleet.schedules.find(name)).toMatchObject({ nextAt: slot, rev: 1 })
    const rescuer = await WorkerProcess.start({ mongo: fleet.uri, tasks: TASKS, args })
    fleet.cleanup(() => rescuer.signal('SIGKILL'))
    const moved = await eventually(async () => {
      const schedule = await fleet.fleet.schedules.find(name)
      return schedule.nextAt!.getTime() > slot.getTime() && schedule
    })
    expect(moved).toMatchObject({ lastSlot: slot, lastTask: made!._id, rev: 2 })
    await fleet.ended(made!._id)
    // The stopped worker works again, and does nothing twice.
    await victim.signal('SIGCONT')
    if (action === 'stop') await rescuer.signal('SIGKILL')
    const again = await fleet.fleet.schedulesFor().run(name)
    await fleet.ended(parseId(again._id))
    expect(await ofSchedule.clone().toArray()).toHaveLength(2)
    expect(await fleet.fleet.schedules.find(name)).toMatchObject({ nextAt: moved.nextAt, rev: 3 })
  },
)
