import { freemem } from 'node:os'
import { type IntervalHistogram, monitorEventLoopDelay } from 'node:perf_hooks'
import type { WorkerRow } from '@taskfleet/core'

/** What this process costs its host, since it was last asked. */
export class LoadMeter {
  readonly #delay: IntervalHistogram = monitorEventLoopDelay({ resolution: 20 })
  #cpu = process.cpuUsage()
  #at = performance.now()

  constructor() {
    this.#delay.enable()
  }

  read(): WorkerRow['load'] {
    const spent = process.cpuUsage(this.#cpu)
    const elapsedMs = Math.max(1, performance.now() - this.#at)
    this.#cpu = process.cpuUsage()
    this.#at = performance.now()
    const delayMs = this.#delay.max / 1e6
    this.#delay.reset()
    return {
      /** Cores in use: 1 is one core busy all the time. */
      cpu: round((spent.user + spent.system) / 1_000 / elapsedMs, 3),
      rss: process.memoryUsage.rss(),
      memoryFree: freemem(),
      eventLoopDelayMs: round(Number.isFinite(delayMs) ? delayMs : 0, 1),
    }
  }
}

const round = (value: number, digits: number): number => Number(value.toFixed(digits))
