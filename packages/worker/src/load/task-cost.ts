/** The weight of a new figure against the average so far. */
const WEIGHT = 0.2

/**
 * An estimate of the memory of one running task: how much larger the process is than when nothing ran, divided by the running tasks,
 * smoothed. Memory in child processes is not counted.
 */
export class TaskCost {
  #idle: number | undefined
  #bytes: number | undefined

  /** Bytes per task; 0 until a task has run. */
  get bytes(): number {
    return this.#bytes ?? 0
  }

  learn(rss: number | undefined, running: number): void {
    if (rss === undefined) return
    if (running === 0) {
      this.#idle = smooth(this.#idle, rss)
      return
    }
    if (this.#idle !== undefined) this.#bytes = smooth(this.#bytes, Math.max(0, rss - this.#idle) / running)
  }
}

const smooth = (old: number | undefined, value: number): number =>
  old === undefined ? value : old + WEIGHT * (value - old)
