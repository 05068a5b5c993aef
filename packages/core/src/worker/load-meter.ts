import { freemem } from 'node:os'
import type { WorkerRow } from '@taskfleet/protocol'
import { Service } from '../service.ts'
import { EventLoopDelay } from './event-loop-delay.ts'

/** The load of this process on its host since the last reading. */
export class LoadMeter extends Service {
  readonly #delay = new EventLoopDelay()
  #cpu = process.cpuUsage()
  #at = performance.now()

  protected override async onStart(): Promise<void> {
    await this.use(this.#delay)
  }

  read(): WorkerRow['load'] {
    const spent = process.cpuUsage(this.#cpu)
    const elapsedMs = Math.max(1, performance.now() - this.#at)
    this.#cpu = process.cpuUsage()
    this.#at = performance.now()
    return {
      /** Cores in use: 1 is one core busy all the time. */
      cpu: round((spent.user + spent.system) / 1_000 / elapsedMs, 3),
      rss: process.memoryUsage.rss(),
      memoryFree: freemem(),
      eventLoopDelayMs: round(this.#delay.take(), 1),
    }
  }
}

const round = (value: number, digits: number): number => Number(value.toFixed(digits))
