import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { type Bed, quantile, storeTasks } from './bed.ts'
import { startWorker } from './worker-child.ts'

const ROUNDS = 5
const LEASES = [8_000, 1_500]

/** How long until a killed worker's task runs elsewhere? */
export async function run(bed: Bed): Promise<void> {
  const tasks = fileURLToPath(new URL('./sleeper.tasks.mjs', import.meta.url))
  const start = (queue: string, lease: number) =>
    startWorker(bed, ['--tasks', tasks, '--queues', queue, '--lease', String(lease), '--log-level', 'silent'])
  for (const lease of LEASES) {
    const waits: number[] = []
    for (let round = 0; round < ROUNDS; round += 1) {
      const queue = `recovery-${lease}-${round}`
      const first = await start(queue, lease)
      const [task] = await storeTasks(bed.fleet, 1, { name: 'sleeper', queue })
      const until = async (attempt: number) => {
        for (;;) {
          const now = await bed.fleet.store.find(task!._id)
          if (now !== null && now.attempt >= attempt) return now
          await sleep(50)
        }
      }
      await until(1)
      const second = await start(queue, lease)
      // Somewhere within the period of renewals, as a power cut would strike.
      await sleep(Math.random() * lease)
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
}
