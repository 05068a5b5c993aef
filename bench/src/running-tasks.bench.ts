import { loadavg } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import { CommandTap } from '@taskfleet/testkit/command-tap'
import { defineTask, TaskRunner } from '@taskfleet/worker'
import { z } from 'zod'
import { type Bed, storeTasks } from './bed.ts'
import { EventCount } from './event-count.ts'

const COUNTS = [0, 1, 10, 100, 500]
const MINUTE_MS = 60_000
const SETTLE_MS = 5_000
/** A session is renewed after a third of its lease of 8 s. */
const RENEWALS = MINUTE_MS / (8_000 / 3)

/**
 * What do 1 to 500 running tasks cost the database in a minute: commands, updates and events? The floor is one renewal of a session,
 * however many tasks it holds. The bound is a renewal for each task, which is what a lease on each document would cost.
 */
export async function run(bed: Bed): Promise<void> {
  const events = await EventCount.start(bed)
  const { tap, uri } = await CommandTap.start(bed)
  const waits = defineTask({
    name: 'waits',
    input: z.object({}),
    run: ({ signal }) => sleep(2 ** 31 - 1, null, { signal }),
  })
  const most = Math.max(...COUNTS)
  const runner = new TaskRunner({ mongo: uri, tasks: [waits], queues: ['waits'], concurrency: most, prefetch: 0 })
  bed.defer(() => runner.stop({ grace: 0 }))
  let running = 0
  let begun: () => void = () => undefined
  runner.on('claimed', () => {
    running += 1
    begun()
  })
  await runner.start()
  for (const count of COUNTS) {
    const all = new Promise<void>((resolve) => (begun = () => running === count && resolve()))
    if (count > running) {
      await storeTasks(bed.fleet, count - running, { name: 'waits', queue: 'waits' })
      await all
    }
    await sleep(SETTLE_MS)
    await events.take()
    tap.take()
    await sleep(MINUTE_MS)
    const { commands } = tap.take()
    const counted = [...(await events.take())]
    const sum = (named: (name: string) => boolean): number =>
      counted.filter(([name]) => named(name)).reduce((all, [, one]) => all + one.count, 0)
    const sent = [...commands].toSorted(([, a], [, b]) => b - a)
    const updates = sum((name) => name.startsWith('events update') || name.startsWith('events replace'))
    const bound = Math.max(1, count) * RENEWALS
    process.stdout.write(
      [
        `${count} running, in a minute: ${total(sent)} commands, ${updates} updates, ${sum((name) => name.startsWith('events'))} events`,
        `floor ${RENEWALS.toFixed(1)} renewals of a session, bound ${bound.toFixed(0)} of a lease for each task: ${(updates / RENEWALS).toFixed(2)} × the floor, ${(updates / bound).toFixed(3)} × the bound`,
        `of that ${counted
          .filter(([name]) => name !== 'oplog')
          .map(([name, one]) => `${name.replace('events ', '')} ${one.count}`)
          .join(', ')}`,
        `sent ${sent.map(([name, times]) => `${name} ${times}`).join(', ')}; load average ${loadavg()[0]!.toFixed(1)}`,
      ].join('\n  '),
    )
    process.stdout.write('\n')
  }
}

const total = (sent: readonly [string, number][]): number => sent.reduce((all, [, times]) => all + times, 0)
