import { scriptedTask } from '@taskfleet/testkit/fleet/scripted-task'
import { eventually, useFleet } from '@taskfleet/testkit/fleet/use-fleet'
import { pino } from 'pino'
import { describe, expect, test } from 'vitest'
import { type RunnerEvents, TaskRunner } from '../task-runner.ts'

const EVENTS = ['due', 'claimed', 'success', 'retry', 'fail', 'idle'] as const satisfies (keyof RunnerEvents)[]

describe('a listener of the runner', () => {
  const fleet = useFleet()

  test.each(['throws', 'rejects'])(
    'for any event that %s affects no task, and the other listeners still get each event',
    async (how) => {
      const logged: string[] = []
      const log = pino({ level: 'error' }, { write: (line: string) => void logged.push(line) })
      const runner = new TaskRunner({ mongo: fleet.uri, tasks: [scriptedTask()], queues: ['default'], log })
      fleet.cleanup(() => runner.stop({ grace: 0 }))
      const told = new Set<string>()
      for (const event of EVENTS) {
        runner.on(event, () => {
          if (how === 'throws') throw new Error(`a bad listener for ${event}`)
          return Promise.reject(new Error(`a bad listener for ${event}`))
        })
        runner.on(event, () => {
          told.add(event)
        })
      }
      await runner.start()
      const good = await fleet.post([{ do: 'return', value: 1 }])
      const bad = await fleet.post([{ do: 'fail' }], { maxAttempts: 2 })
      expect(await fleet.ended(good._id)).toMatchObject({ status: 'completed', failures: 0 })
      expect(await fleet.ended(bad._id)).toMatchObject({ status: 'failed', failures: 2 })
      const isLogged = (event: string): boolean => logged.some((line) => line.includes(`a bad listener for ${event}`))
      await eventually(() => EVENTS.every((event) => told.has(event) && isLogged(event)))
    },
  )

  test('added with `once` is called once', () => {
    const runner = new TaskRunner({ mongo: fleet.uri, tasks: [] })
    let heard = 0
    runner.once('idle', () => {
      heard += 1
    })
    expect([runner.emit('idle', {}), runner.emit('idle', {}), heard]).toEqual([true, false, 1])
  })
})
