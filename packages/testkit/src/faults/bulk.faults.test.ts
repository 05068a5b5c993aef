import { afterEach, describe, expect, test } from 'vitest'
import { countFault } from '../count-fault.ts'
import { GatewayProcess } from '../fleet/gateway-process.ts'
import { useFleet } from '../fleet/use-fleet.ts'
import { newTask } from '../task-factory.ts'

const TASKS = 3_000
const KILLS = 4

describe('an operation on many tasks', () => {
  const fleet = useFleet()
  const gateways: GatewayProcess[] = []
  afterEach(async () => {
    await Promise.all(gateways.splice(0).map((gateway) => gateway.kill()))
  })

  test('ends though each gateway that carries it out is killed, and it and its undo change each task once', async () => {
    for (let made = 0; made < 2; made += 1) gateways.push(await GatewayProcess.start(fleet.uri))
    for (let stored = 0; stored < TASKS; stored += 500)
      await fleet.fleet.store.enqueue(Array.from({ length: 500 }, () => newTask()))
    const revisions = async () => {
      const states = await fleet.fleet.tasks.find({}, { projection: { rev: 1, status: 1, control: 1 } }).toArray()
      return [...new Set(states.map(({ rev, status, control }) => `${rev} ${status} ${control ?? ''}`))]
    }
    const [asStored] = await revisions()
    const { bulk } = fleet.fleet.as()
    const done = async (id: string): Promise<number> => {
      const { changed, unchanged, refused } = await bulk.show(id)
      return changed + unchanged + refused
    }
    const ended = async (id: string) => {
      await expect.poll(async () => (await bulk.show(id)).endedAt, { timeout: 300_000, interval: 200 }).toBeDefined()
      return bulk.show(id)
    }

    const paused = await bulk.start({ command: 'pause', filter: { queue: newTask().queue }, reason: 'a test' })
    for (let kills = 1; kills <= KILLS; kills += 1) {
      const reached = (kills * TASKS) / (KILLS + 1)
      await expect.poll(() => done(paused._id), { timeout: 300_000, interval: 20 }).toBeGreaterThanOrEqual(reached)
      // Which of them carries it out can't be seen from outside.
      await Promise.all(gateways.map((gateway) => gateway.kill()))
      countFault('gateways killed in an operation on many tasks')
      for (const gateway of gateways) await gateway.restart()
    }
    expect(await ended(paused._id)).toMatchObject({ state: 'completed', matched: TASKS, changed: TASKS, refused: 0 })
    const [asPaused, ...others] = await revisions()
    expect([asPaused, others]).toEqual([expect.stringMatching(/^2 /), []])
    expect(asPaused).not.toBe(asStored)

    const undo = await bulk.undo({ id: paused._id })
    expect(await ended(undo._id)).toMatchObject({ state: 'completed', matched: TASKS, changed: TASKS, refused: 0 })
    expect(await revisions()).toEqual([asStored!.replace(/^1 /, '3 ')])
  })
})
