import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { parseNewTask } from '@taskfleet/core/internal'
import { openBed, quantile } from './bed.ts'

const ROUNDS = 5
const LEASES = [8_000, 1_500]

/** How long until a killed worker's task runs elsewhere? */
export async function run(): Promise<void> {
  const bed = await openBed()
  const main = fileURLToPath(import.meta.resolve('taskfleet/main'))
  const tasks = fileURLToPath(new URL('./sleeper.tasks.mjs', import.meta.url))
  const start = async (queue: string, lease: number) => {
    const child = spawn(
      process.execPath,
      [main, 'worker', '--tasks', tasks, '--queues', queue, '--lease', String(lease)],
      {
        env: { ...process.env, TASKFLEET_MONGO_URI: bed.uri },
        stdio: ['ignore', 'pipe', 'ignore'],
      },
    )
    await once(createInterface({ input: child.stdout }), 'line')
    return child
  }
  for (const lease of LEASES) {
    const waits: number[] = []
    for (let round = 0; round < ROUNDS; round += 1) {
      const queue = `recovery-${lease}-${round}`
      const first = await start(queue, lease)
      const [task] = await bed.fleet.store.enqueue([parseNewTask({ name: 'sleeper', queue })])
      const until = async (attempt: number) => {
        for (;;) {
          const now = await bed.fleet.store.find(task!._id)
          if (now !== null && now.attempt >= attempt) return now
          await new Promise((resolve) => setTimeout(resolve, 50))
        }
      }
      await until(1)
      const second = await start(queue, lease)
      // Somewhere within the period of renewals, as a power cut would strike.
      await new Promise((resolve) => setTimeout(resolve, Math.random() * lease))
      const killedAt = bed.fleet.database.clock.now().getTime()
      first.kill('SIGKILL')
      waits.push((await until(2)).claimedAt!.getTime() - killedAt)
      second.kill('SIGKILL')
      await once(second, 'exit')
    }
    const seconds = (part: number): string => (quantile(waits, part) / 1_000).toFixed(1)
    process.stdout.write(
      `lease ${lease} ms: elsewhere after ${seconds(0)} to ${seconds(1)} s, median ${seconds(0.5)}\n`,
    )
  }
  await bed.close()
}
