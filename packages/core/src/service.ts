/**
 * Something that starts and stops. `onStart` starts its parts and registers with `defer` or `use` how each of them ends. `stop`
 * ends them, the last one first. A failed start does the same. So nothing is left running, whenever `stop` is called.
 */
export abstract class Service {
  readonly #ends: (() => unknown)[] = []
  #running = false
  #started: Promise<void> | undefined
  #stopped: Promise<void> | undefined

  protected abstract onStart(): Promise<void> | void

  /** Starts once: later calls share the first call's result. After a failure or a stop, it may start again. */
  start(): Promise<void> {
    if (this.#stopped !== undefined) return this.#stopped.catch(() => undefined).then(() => this.start())
    if (this.#started === undefined) {
      this.#running = true
      this.#started = this.#start()
    }
    return this.#started
  }

  /**
   * Resolves when nothing of it runs any more. May be called at any time and repeatedly.
   *
   * @throws the error of the first part that failed to end; the others have ended
   */
  stop(): Promise<void> {
    if (this.#started === undefined) return Promise.resolve()
    this.#running = false
    this.#stopped ??= this.#stop(this.#started)
    return this.#stopped
  }

  /** Whether it was started and has not been stopped since. */
  protected get isRunning(): boolean {
    return this.#running
  }

  /** `end` is called when this stops, or when its start fails. */
  protected defer(end: () => unknown): void {
    this.#ends.push(end)
  }

  /** Starts a part, which stops with this. */
  protected async use<Part extends Pick<Service, 'start' | 'stop'>>(part: Part): Promise<Part> {
    this.defer(() => part.stop())
    await part.start()
    return part
  }

  async #start(): Promise<void> {
    try {
      await this.onStart()
    } catch (error) {
      await this.#end().catch(() => undefined)
      this.#running = false
      this.#started = undefined
      throw error
    }
  }

  async #stop(started: Promise<void>): Promise<void> {
    try {
      await started.catch(() => undefined)
      await this.#end()
    } finally {
      this.#started = undefined
      this.#stopped = undefined
    }
  }

  async #end(): Promise<void> {
    const failures: unknown[] = []
    for (let end = this.#ends.pop(); end !== undefined; end = this.#ends.pop()) {
      try {
        await end()
      } catch (error) {
        failures.push(error)
      }
    }
    if (failures.length > 0) throw failures[0]
  }
}
