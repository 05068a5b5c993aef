// Plain JavaScript: a thread starts from this file as it is, whether from the sources or from the build.
import { writeSync } from 'node:fs'
import { workerData } from 'node:worker_threads'
import { MongoClient } from 'mongodb'

/**
 * Renews the leases of a process from a thread of its own, so that a handler that blocks the event loop loses nothing.
 * It gives up when the main thread has been blocked for so long that it can't be expected back.
 *
 * @import { RenewalOrder, RenewalReport, RenewalSetup } from './renewal-messages.ts'
 * @type {RenewalSetup}
 */
const setup = workerData
const { port } = setup
/** @type {Set<string>} */
const leases = new Set()
const beat = new Int32Array(setup.beat)
const client = new MongoClient(setup.uri, { ...setup.clientOptions, minPoolSize: 0, maxPoolSize: 1 })
const tasks = client.db(setup.database).collection('tasks')

const monotonicMs = () => Number(process.hrtime.bigint() / 1_000n) / 1_000

let lastBeat = Atomics.load(beat, 0)
let lastBeatAt = monotonicMs()
let told = false

/** How long the main thread has not come round, in milliseconds. */
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
 * Straight to the file: the main thread, which usually writes, is the one that is blocked.
 *
 * @param {number} ms
 */
function warnBlocked(ms) {
  told = true
  const msg = 'the event loop is blocked by a handler; leases are renewed all the same'
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

/** @param {RenewalReport} report */
const tell = (report) => port.postMessage(report)

async function renew() {
  const sentAt = monotonicMs()
  const ids = [...leases]
  const mine = { 'lease.id': { $in: ids }, status: 'running' }
  try {
    await tasks.updateMany(mine, setup.update)
    const held = new Set(await tasks.distinct('lease.id', mine))
    tell({ sentAt, renewed: ids.filter((id) => held.has(id)), lost: ids.filter((id) => !held.has(id)) })
  } catch (error) {
    tell({ sentAt, renewed: [], lost: [], error: error instanceof Error ? error.message : String(error) })
  }
}

/** @type {Promise<void> | undefined} */
let underWay
let lastRenewalAt = monotonicMs()
const timer = setInterval(
  () => {
    const blocked = blockedMs()
    if (leases.size > 0 && blocked > setup.warnBlockedMs && !told) warnBlocked(blocked)
    if (underWay !== undefined || leases.size === 0 || blocked > setup.maxBlockedMs) return
    if (monotonicMs() - lastRenewalAt < setup.leaseMs / 3) return
    lastRenewalAt = monotonicMs()
    underWay = renew().finally(() => {
      underWay = undefined
    })
  },
  Math.min(250, setup.leaseMs / 12),
)

port.on('message', (/** @type {RenewalOrder} */ { hold, drop, stop }) => {
  if (hold !== undefined) {
    // The claim itself was the first proof; the next is due a third of a lease after it.
    if (leases.size === 0) lastRenewalAt = monotonicMs()
    leases.add(hold)
  }
  if (drop !== undefined) leases.delete(drop)
  if (stop === true) {
    clearInterval(timer)
    void client.close().finally(() => port.close())
  }
})
