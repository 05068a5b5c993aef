/**
 * Loaded before the command (`node --import`): timers of Taskfleet's own code come late, in another order, and some of them twice.
 * Timers of the driver and of other libraries stay as they are.
 */
const LATE_MS = 80
const OWN = /\/packages\/(?!testkit)[^/]+\/dist\//
const { setTimeout, setInterval } = globalThis

const isOwn = () => OWN.test(new Error().stack?.split('\n')[3] ?? '')

function bent(original) {
  const bentTimer = (act, ms = 0, ...args) => {
    if (!isOwn()) return original(act, ms, ...args)
    const late = Number(ms) + Math.random() * LATE_MS
    const timer = original(() => {
      act(...args)
      if (Math.random() < 0.2) setTimeout(act, Math.random() * LATE_MS, ...args).unref()
    }, late)
    return timer
  }
  // `util.promisify` and code that looks at the function find what they expect.
  return Object.defineProperties(bentTimer, Object.getOwnPropertyDescriptors(original))
}

globalThis.setTimeout = bent(setTimeout)
globalThis.setInterval = bent(setInterval)
