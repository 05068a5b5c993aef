// Plain JavaScript: isolates load it as well, before TypeScript can be read.
import { AsyncLocalStorage } from 'node:async_hooks'

/**
 * The attempt whose code runs. `leaked` is called with every uncaught error of that code.
 *
 * @typedef {object} Culprit
 * @property {(thrown: unknown) => void} leaked
 */

const UNCAUGHT = new Set(['uncaughtException', 'unhandledRejection'])

/**
 * Finds the culprit of an uncaught error by the async context of the error, and notifies it alone. All other uncaught errors go the
 * usual way: to the program's own listeners or, without any, to Node, which ends the process.
 *
 * It wraps `process.emit` instead of adding a listener. A listener would change what Node does with other errors, and could not keep
 * a culprit's error from the program's own listeners, which often end the process.
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
   * Runs a function in the context of a culprit, which includes all timers, promises, sockets and emitters that it creates.
   *
   * @template T
   * @param {Culprit | undefined} culprit
   * @param {() => T} act
   * @returns {T}
   */
  run(culprit, act) {
    return this.#context.run(culprit, act)
  }

  /** The culprit of the running code. */
  get current() {
    return this.#context.getStore()
  }

  /**
   * Watches until the returned function is called. Several holders may watch at the same time.
   *
   * @returns {() => void}
   */
  hold() {
    this.#holders += 1
    if (this.#holders === 1) this.#install()
    let held = true
    return () => {
      if (!held) return
      held = false
      this.#holders -= 1
      if (this.#holders === 0) this.#uninstall()
    }
  }

  #install() {
    // Still in place, since another wrapper was put around it meanwhile.
    if (this.#inFront !== undefined) return
    const guard = this
    const behind = process.emit
    /** @type {(this: NodeJS.Process, event: string, ...args: unknown[]) => boolean} */
    const inFront = function (event, ...args) {
      if (guard.#holders > 0 && UNCAUGHT.has(event) && guard.#notify(args[0])) return true
      return Reflect.apply(behind, this, [event, ...args])
    }
    this.#wasOwn = Object.hasOwn(process, 'emit')
    this.#behind = behind
    this.#inFront = /** @type {typeof process.emit} */ (inFront)
    process.emit = this.#inFront
  }

  #uninstall() {
    if (process.emit !== this.#inFront || this.#behind === undefined) return
    if (this.#wasOwn) process.emit = this.#behind
    else Reflect.deleteProperty(process, 'emit')
    this.#inFront = undefined
    this.#behind = undefined
  }

  /**
   * @param {unknown} thrown
   * @returns {boolean} whether the error has a culprit
   */
  #notify(thrown) {
    const culprit = this.current
    if (culprit === undefined) return false
    // The culprit handles the error outside its own context.
    this.run(undefined, () => culprit.leaked(thrown))
    return true
  }
}

const KEY = Symbol.for('@taskfleet/worker process guard')
const shared = /** @type {Record<symbol, ProcessGuard | undefined>} */ (/** @type {unknown} */ (globalThis))

/** One for the process, however many copies of this library and runners there are in it. */
export const processGuard = shared[KEY] ?? new ProcessGuard()
shared[KEY] = processGuard
