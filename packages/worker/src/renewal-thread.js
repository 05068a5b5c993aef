// Plain JavaScript: a thread starts from this file as it is, whether from the sources or from the build.
import { writeSync } from 'node:fs'
import { workerData } from 'node:worker_threads'
import { MongoClient } from 'mongodb'
import { monotonicMs, renew } from './renew.js'

/**
 * Renews the session of a process from a thread, so that a handler that blocks the event loop does not lose the lease. It stops
 * when the main thread has been blocked for too long.
 *
 * @import { RenewalOrder, RenewalSetup } from './renewal-messages.ts'
 * @type {RenewalSetup}
 */
const setup = workerData
const { port } = setup
const beat = new Int32Array(setup.beat)
const client = new MongoClient(setup.uri, setup.clientOptions)
const workers = client.db(setup.database).collection('workers')
const RETRY_MS = 500

let lastBeat = Atomics.load(beat, 0)
let lastBeatAt = monotonicMs()
let told = false

/** How long the main thread has been blocked, in milliseconds. */
function blockedMs() {
  const now = Atomics.load(beat, 0)
  if (now !== lastBeat) {
    lastBeat = now
    lastBeatAt = monotonicMs()
    told = false
  }
  return monotonicMs() - lastBeatAt
}

/**
 * Written straight to the file, since the main thread, which usually writes logs, is blocked.
 *
 * @param {number} ms
 */
function warnBlocked(ms) {
  told = true
  const msg = 'a handler blocks the event loop; the session is still renewed'
  const line = {
    level: 40,
    time: Date.now(),
    pid: process.pid,
    code: 'EVENT_LOOP_BLOCKED',
    blockedMs: Math.round(ms),
    msg,
  }
  writeSync(2, `${JSON.stringify(line)}\n`)
}

/** If its first connection failed, the client stays closed until `connect` is called. Once connected, that does nothing. */
const connected = async () => {
  await client.connect()
  return workers
}

/** @param {NonNullable<RenewalOrder['renew']>} order */
async function renewed(order) {
  const report = await renew(connected, order)
  port.postMessage(report)
  return report.error === undefined
}

/** @type {RenewalOrder['renew']} */
let order = null
/** @type {Promise<void> | undefined} */
let underWay
let nextAt = 0
const every = setup.everyMs
const timer = setInterval(
  () => {
    const blocked = blockedMs()
    if (order !== null && blocked > setup.warnBlockedMs && !told) warnBlocked(blocked)
    if (underWay !== undefined || !order || blocked > setup.maxBlockedMs || monotonicMs() < nextAt) return
    const startedAt = monotonicMs()
    underWay = renewed(order).then((done) => {
      underWay = undefined
      // After a failure it tries again soon: the server may answer again at any moment.
      nextAt = done ? startedAt + every : monotonicMs() + Math.min(RETRY_MS, every / 4)
    })
  },
  Math.min(250, every / 4),
)

port.on('message', (/** @type {RenewalOrder} */ { renew, stop }) => {
  if (renew !== undefined) {
    // The write that opened the session counts as its first renewal.
    if (renew !== null && renew.session !== order?.session) nextAt = monotonicMs() + every
    order = renew
  }
  if (stop === true) {
    clearInterval(timer)
    void client.close().finally(() => port.close())
  }
})
