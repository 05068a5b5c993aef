import { once } from 'node:events'
import { MessageChannel, type MessagePort, receiveMessageOnPort, Worker } from 'node:worker_threads'
import { dataClientOptions, type FleetDatabase, renewalUpdate } from '@taskfleet/core'
import type { Logger } from 'pino'
import { monotonicMs, type RenewalOrder, type RenewalReport, type RenewalSetup } from './renewal-messages.ts'

export interface LeaseKeeperOptions {
  database: FleetDatabase
  leaseMs: number
  log: Logger
  /** Told of a lease that is lost or can no longer be proved; its attempt must stop. */
  onLost: (leaseId: string) => void
  /** For how long a blocked event loop keeps its leases, in milliseconds. */
  maxBlockedMs?: number
}

/** How far before the lease's end it stops being trusted, as a part of it: clocks drift, and an abort takes time. */
const MARGIN = 1 / 10
const STOP_MS = 1_000

/**
 * How long a wait on the server may last, in milliseconds: a quarter of a lease, so that one that fails can be tried again in
 * time, but never so short that a busy server counts as dead.
 */
export const timeoutFor = (leaseMs: number): number => Math.max(1_000, Math.min(5_000, leaseMs / 4))

/**
 * Holds the leases of one process. Whether one is trusted is decided here, by the monotonic clock alone: from the moment
 * when the last acknowledged renewal was *sent*, whatever promise hangs.
 */
export class LeaseKeeper {
  readonly #options: LeaseKeeperOptions
  readonly #trustedUntil = new Map<string, number>()
  readonly #beat = new SharedArrayBuffer(4)
  #thread: Worker | undefined
  #port: MessagePort | undefined
  #timer: NodeJS.Timeout | undefined

  constructor(options: LeaseKeeperOptions) {
    this.#options = options
  }

  async start(): Promise<void> {
    const { database, leaseMs, log, maxBlockedMs = 300_000 } = this.#options
    const { port1, port2 } = new MessageChannel()
    const setup: RenewalSetup = {
      port: port2,
      uri: database.uri,
      database: database.connection.name,
      clientOptions: dataClientOptions(timeoutFor(leaseMs)),
      leaseMs,
      update: renewalUpdate(leaseMs),
      beat: this.#beat,
      warnBlockedMs: Math.min(2_000, leaseMs / 2),
      maxBlockedMs,
    }
    const thread = new Worker(new URL('./renewal-thread.js', import.meta.url), {
      workerData: setup,
      transferList: [port2],
      // It holds little; the defaults would let its young generation grow to many megabytes.
      resourceLimits: { maxYoungGenerationSizeMb: 2, maxOldGenerationSizeMb: 64 },
    })
    thread.on('error', (error) => log.error({ err: error }, 'the renewing thread failed; its leases will run out'))
    port1.on('message', (report: RenewalReport) => this.#hear(report))
    await once(thread, 'online')
    thread.unref()
    this.#thread = thread
    this.#port = port1
    this.#timer = setInterval(() => this.#check(), Math.min(250, leaseMs / 12))
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer)
    const thread = this.#thread
    if (thread === undefined) return
    this.#thread = undefined
    thread.ref()
    const ended = once(thread, 'exit')
    this.#order({ stop: true })
    // It ends by itself; one that hangs in a connection is ended.
    const hung = setTimeout(() => void thread.terminate(), STOP_MS)
    await ended.finally(() => clearTimeout(hung))
  }

  /**
   * @param sentAt `performance.now()` when the claim was sent
   */
  hold(leaseId: string, sentAt: number): void {
    const sentAgo = performance.now() - sentAt
    const isNew = !this.#trustedUntil.has(leaseId)
    this.#trust(leaseId, monotonicMs() - sentAgo)
    if (isNew) this.#order({ hold: leaseId })
  }

  drop(leaseId: string): void {
    this.#trustedUntil.delete(leaseId)
    this.#order({ drop: leaseId })
  }

  trusted(leaseId: string): boolean {
    return this.trustedUntil(leaseId) > monotonicMs()
  }

  /** Until when it can be proved, by the monotonic clock that all processes of a host share; minus infinity for none. */
  trustedUntil(leaseId: string): number {
    this.#hearAll()
    return this.#trustedUntil.get(leaseId) ?? Number.NEGATIVE_INFINITY
  }

  #order(order: RenewalOrder): void {
    this.#port?.postMessage(order)
  }

  #trust(leaseId: string, from: number): void {
    const until = from + this.#options.leaseMs * (1 - MARGIN)
    this.#trustedUntil.set(leaseId, Math.max(until, this.#trustedUntil.get(leaseId) ?? 0))
  }

  /** What the thread has said while the event loop was blocked must count before anything is judged. */
  #hearAll(): void {
    if (this.#port === undefined) return
    for (let got = receiveMessageOnPort(this.#port); got !== undefined; got = receiveMessageOnPort(this.#port)) {
      this.#hear(got.message as RenewalReport)
    }
  }

  #hear(report: RenewalReport): void {
    if (report.error !== undefined) this.#options.log.warn({ reason: report.error }, 'leases could not be renewed')
    for (const leaseId of report.renewed) if (this.#trustedUntil.has(leaseId)) this.#trust(leaseId, report.sentAt)
    for (const leaseId of report.lost) this.#lose(leaseId)
  }

  #check(): void {
    Atomics.add(new Int32Array(this.#beat), 0, 1)
    this.#hearAll()
    const now = monotonicMs()
    for (const [leaseId, until] of this.#trustedUntil) if (until <= now) this.#lose(leaseId)
  }

  #lose(leaseId: string): void {
    if (!this.#trustedUntil.delete(leaseId)) return
    this.#order({ drop: leaseId })
    this.#options.onLost(leaseId)
  }
}
