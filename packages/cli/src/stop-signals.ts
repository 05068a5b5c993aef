import { EventEmitter, once } from 'node:events'

const SIGNALS = ['SIGINT', 'SIGTERM'] as const

/** The signals that stop a process: the first in order, the second at once. */
export class StopSignals {
  readonly #signals = new EventEmitter<{ first: []; second: [] }>()
  #count = 0
  readonly first: Promise<unknown> = once(this.#signals, 'first')
  readonly second: Promise<unknown> = once(this.#signals, 'second')

  constructor() {
    for (const signal of SIGNALS) process.on(signal, this.#onSignal)
  }

  get asked(): boolean {
    return this.#count > 0
  }

  close(): void {
    for (const signal of SIGNALS) process.off(signal, this.#onSignal)
  }

  readonly #onSignal = (): void => {
    this.#count += 1
    if (this.#count === 1) this.#signals.emit('first')
    if (this.#count === 2) this.#signals.emit('second')
  }
}
