// Plain JavaScript: isolates load it as well, before TypeScript can be read.
import { AsyncLocalStorage } from 'node:async_hooks'

/**
 * Whose code runs: told of every error that came out of it and that nobody caught.
 *
 * @typedef {object} Culprit
 * @property {(thrown: unknown) => void} leaked
 */

const UNCAUGHT = new Set(['uncaughtException', 'unhandledRejection'])

/**
 * Finds out whose an error is that nobody caught, by the async context that it came out of, and tells that one alone. All
 * others have their usual way: to the program's own listeners or, without any, to Node's end of the process.
 *
 * It stands in front of `process.emit`, and is no listener: one would change what Node does with errors that are not ours, and
 * could not keep those that are ours from a program's own listeners, which often end the process.
 */
class ProcessGuard {
  /** @type {AsyncLocalStorage<Culprit | undefined>} */
  #context = new AsyncLocalStorage()
  #holders = 0
  /** @type {typeof process.emit | undefined} */
  #inFront
  /** @type {typeof process.emit | undefined} */
  #behind
  #wasOwn = false

  /**
   * Runs something in a culprit's name, with all timers, promises, sockets and emitters that it makes.
   *
   * @template T
   * @param {Culprit | undefined} culprit
   * @param {() => T} act
   * @returns {T}
   */
  run(culprit, act) {
    return this.#context.run(culprit, act)
  }

  /** In whose name the code runs that asks. */
  get current() {
    return this.#context.getStore()
  }

  /**
   * Watches until the answer is called; may be asked for by several at once.
   *
   * @returns {() => void}
   */
  hold() {
    this.#holders += 1
    if (this.#holders === 1) this.#stepInFront()
    let held = true
    return () => {
      if (!held) return
      held = false
      this.#holders -= 1
      if (this.#holders === 0) this.#stepBack()
    }
  }

  #stepInFront() {
    // Somebody who stands in front of us keeps us there; then we only begin to look again.
    if (this.#inFront !== undefined) return
    const guard = this
    const behind = process.emit
    /** @type {(this: NodeJS.Process, event: string, ...args: unknown[]) => boolean} */
    const inFront = function (event, ...args) {
      if (guard.#holders > 0 && UNCAUGHT.has(event) && guard.#tell(args[0])) return true
      return Reflect.apply(behind, this, [event, ...args])
    }
    this.#wasOwn = Object.hasOwn(process, 'emit')
    this.#behind = behind
    this.#inFront = /** @type {typeof process.emit} */ (inFront)
    process.emit = this.#inFront
  }

  #stepBack() {
    if (process.emit !== this.#inFront || this.#behind === undefined) return
    if (this.#wasOwn) process.emit = this.#behind
    else Reflect.deleteProperty(process, 'emit')
    this.#inFront = undefined
    this.#behind = undefined
  }

  /**
   * @param {unknown} thrown
   * @returns {boolean} whether it was somebody's
   */
  #tell(thrown) {
    const culprit = this.current
    if (culprit === undefined) return false
    // Its own doings are not the culprit's.
    this.run(undefined, () => culprit.leaked(thrown))
    return true
  }
}

const KEY = Symbol.for('@taskfleet/worker process guard')
const shared = /** @type {Record<symbol, ProcessGuard | undefined>} */ (/** @type {unknown} */ (globalThis))

/** One for the process, however many copies of this library and runners there are in it. */
export const processGuard = shared[KEY] ?? new ProcessGuard()
shared[KEY] = processGuard
