import { createHash } from 'node:crypto'
import { availableParallelism } from 'node:os'
import { Worker } from 'node:worker_threads'
import type { Algorithm } from '@taskfleet/download-contract/internal'
import { FleetError } from '@taskfleet/protocol'

/** Bytes in a block: few enough to be still in a core's cache when the disk and the hash read what the network has brought. */
export const BLOCK = 2 ** 17
/** From here on each download waits with its next block until it has given back all before. */
const MANY_TAKEN = 32
/** The network and the disk keep two cores busy: there a thread made downloads slower. */
const CORES_WITHOUT_THREADS = 2

/** Without bytes, it ends the hash. */
export interface HashOrder {
  id: number
  algorithm: Algorithm
  bytes?: Uint8Array
}

export interface HashReply {
  id: number
  /** Lower-case hex; empty until the hash is ended. */
  digest: string
}

/** A hash on its way. Its promises reject with `HASH_THREAD_LOST` when the thread that computes it dies. */
export interface RunningHash {
  /** Resolves when the bytes are hashed; they must not change before. A thread gets bytes of a block without a copy. */
  update(bytes: Uint8Array): Promise<unknown>
  /** Lower-case hex. Ends the hash. */
  digest(): Promise<string>
  /** Ends the hash; may be called twice. */
  close(): void
}

export interface HashThreadsOptions {
  /** Without any thread, the event loop hashes. */
  most?: number
  /** Threads end, and blocks are freed, when none was used for this long. */
  idleMs?: number
}

/**
 * Hashes what downloads receive, in threads where there are cores for them, and has the blocks of shared memory that they
 * receive it in. A thread starts with its first hash. The hashes of a thread that dies fail, and the next one gets a new thread.
 */
export class HashThreads {
  readonly #most: number
  readonly #idleMs: number
  readonly #threads = new Set<HashThread>()
  readonly #spare: Buffer[] = []
  #taken = 0
  #idle: NodeJS.Timeout | undefined

  constructor({
    most = Math.max(0, availableParallelism() - CORES_WITHOUT_THREADS),
    idleMs = 10_000,
  }: HashThreadsOptions = {}) {
    this.#most = most
    this.#idleMs = idleMs
  }

  /** Blocks that are in use. */
  get taken(): number {
    return this.#taken
  }

  /** Whether so many blocks are in use that each download should have as few as it can. */
  get scarce(): boolean {
    return this.#taken > MANY_TAKEN
  }

  get workers(): Worker[] {
    return [...this.#threads].map(({ worker }) => worker)
  }

  takeBlock(): Buffer {
    this.#taken += 1
    return this.#spare.pop() ?? Buffer.from(new SharedArrayBuffer(BLOCK))
  }

  /** Blocks are kept for the next download: a thread may refer to one that is dropped for as long as it lives. */
  giveBack(block: Buffer): void {
    this.#taken -= 1
    this.#spare.push(block)
    this.#endWhenIdle()
  }

  open(algorithm: Algorithm = 'sha256'): RunningHash {
    let hash: RunningHash | undefined
    const opened = () => {
      hash ??= this.#most > 0 ? this.#leastBusy().open(algorithm) : hashHere(algorithm)
      return hash
    }
    return {
      update: (bytes) => opened().update(bytes),
      digest: () => opened().digest(),
      close: () => hash?.close(),
    }
  }

  #leastBusy(): HashThread {
    const [first] = [...this.#threads].sort((a, b) => a.count - b.count)
    if (first !== undefined && (first.count === 0 || this.#threads.size >= this.#most)) return first
    const thread: HashThread = new HashThread({
      onEnd: () => this.#threads.delete(thread),
      onUnused: () => this.#endWhenIdle(),
    })
    this.#threads.add(thread)
    return thread
  }

  #endWhenIdle(): void {
    clearTimeout(this.#idle)
    this.#idle = setTimeout(() => {
      if (this.#taken > 0 || [...this.#threads].some(({ count }) => count > 0)) return
      this.#spare.length = 0
      for (const { worker } of this.#threads) void worker.terminate()
      this.#threads.clear()
    }, this.#idleMs).unref()
  }
}

function hashHere(algorithm: Algorithm): RunningHash {
  const hash = createHash(algorithm)
  return {
    update: async (bytes) => hash.update(bytes),
    digest: async () => hash.digest('hex'),
    close: () => {},
  }
}

interface Waiting {
  resolve(digest: string): void
  reject(error: Error): void
}

class HashThread {
  readonly worker = new Worker(new URL('./hash-thread.js', import.meta.url), {
    // Loaders of the main thread would cost it megabytes.
    execArgv: [],
    resourceLimits: { maxYoungGenerationSizeMb: 1, maxOldGenerationSizeMb: 16 },
  })
  readonly #ends: { onEnd(): void; onUnused(): void }
  /** By the hash's number, what waits for the replies, which come in order. */
  readonly #hashes = new Map<number, Waiting[]>()
  #lost: FleetError | undefined
  #lastId = 0

  constructor(ends: { onEnd(): void; onUnused(): void }) {
    this.#ends = ends
    this.worker.on('message', ({ id, digest }: HashReply) => this.#hashes.get(id)?.shift()?.resolve(digest))
    this.worker.on('error', (error) => this.#end(error.message))
    this.worker.on('exit', (code) => this.#end(`it ended with ${code}`))
    // Only open hashes keep the process alive.
    this.worker.unref()
  }

  /** Hashes that are open. */
  get count(): number {
    return this.#hashes.size
  }

  open(algorithm: Algorithm): RunningHash {
    const id = ++this.#lastId
    const waiting: Waiting[] = []
    this.#hashes.set(id, waiting)
    this.worker.ref()
    const order = (bytes?: Uint8Array) =>
      new Promise<string>((resolve, reject) => {
        if (this.#lost) return reject(this.#lost)
        waiting.push({ resolve, reject })
        this.worker.postMessage({ id, algorithm, ...(bytes && { bytes }) } satisfies HashOrder)
      })
    const close = () => {
      if (!this.#hashes.delete(id)) return
      this.worker.postMessage({ id, algorithm } satisfies HashOrder)
      this.#unused()
    }
    return { update: order, digest: () => order(), close }
  }

  #unused(): void {
    if (this.count > 0) return
    this.worker.unref()
    this.#ends.onUnused()
  }

  #end(why: string): void {
    if (this.#lost) return
    this.#lost = new FleetError('HASH_THREAD_LOST', `the thread that computes the checksums died: ${why}`)
    this.#ends.onEnd()
    for (const waiting of this.#hashes.values()) for (const { reject } of waiting.splice(0)) reject(this.#lost)
    this.#hashes.clear()
  }
}

/** Shared by all downloads of this process. */
export const hashThreads = new HashThreads()
