import { EventEmitter, once } from 'node:events'

const SIGNALS = ['SIGINT', 'SIGTERM'] as const

/** Hears the signals that ask a process to end, from its making on: the first asks for order, the second for haste. */
export class StopSignals {
  readonly #asked = new EventEmitter<{ first: []; second: [] }>()
  #count = 0
  readonly first: Promise<unknown> = once(this.#asked, 'first')
  readonly second: Promise<unknown> = once(this.#asked, 'second')

  constructor() {
    for (const signal of SIGNALS) process.on(signal, this.#hear)
  }

  get asked(): boolean {
    return this.#count > 0
  }

  close(): void {
    for (const signal of SIGNALS) process.off(signal, this.#hear)
  }

  readonly #hear = (): void => {
    this.#count += 1
    if (this.#count === 1) this.#asked.emit('first')
    if (this.#count === 2) this.#asked.emit('second')
  }
}
