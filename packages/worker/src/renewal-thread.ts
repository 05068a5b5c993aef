import { writeSync } from 'node:fs'
import { workerData } from 'node:worker_threads'
import type { TaskDocument } from '@taskfleet/core'
import { renewLeases } from '@taskfleet/core/renewal'
import { MongoClient } from 'mongodb'
import { monotonicMs, type RenewalOrder, type RenewalReport, type RenewalSetup } from './renewal-messages.ts'

/**
 * Renews the leases of a process from a thread of its own, so that a handler that blocks the event loop loses nothing.
 * It gives up when the main thread has been blocked for so long that it can't be expected back.
 */
const setup = workerData as RenewalSetup
const { port } = setup
const leases = new Set<string>()
const beat = new Int32Array(setup.beat)

const client = new MongoClient(setup.uri, {
  ...setup.clientOptions,
  minPoolSize: 0,
  maxPoolSize: 1,
})
const tasks = client.db(setup.database).collection<TaskDocument>('tasks')

let lastBeat = Atomics.load(beat, 0)
let lastBeatAt = monotonicMs()
let told = false

/** How long the main thread has not come round, in milliseconds. */
function blockedMs(): number {
  const now = Atomics.load(beat, 0)
  if (now !== lastBeat) {
    lastBeat = now
    lastBeatAt = monotonicMs()
    told = false
  }
  return monotonicMs() - lastBeatAt
}

/** Straight to the file: the main thread, which usually writes, is the one that is blocked. */
function warnBlocked(ms: number): void {
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

async function renew(): Promise<void> {
  const sentAt = monotonicMs()
  const ids = [...leases]
  try {
    const lost = await renewLeases(tasks, ids, setup.leaseMs)
    port.postMessage({ sentAt, renewed: ids.filter((id) => !lost.includes(id)), lost } satisfies RenewalReport)
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error)
    port.postMessage({ sentAt, renewed: [], lost: [], error: message } satisfies RenewalReport)
  }
}

let underWay: Promise<void> | undefined
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

port.on('message', ({ hold, drop, stop }: RenewalOrder) => {
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
