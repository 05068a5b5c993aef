import { createHash, type Hash } from 'node:crypto'
import { fdatasync, write as writeFile } from 'node:fs'
import type { FileHandle } from 'node:fs/promises'
import { asError } from '@taskfleet/core'
import type { Task } from '@taskfleet/worker'
import { diskFailure } from './failures.ts'

const BLOCK = 2 ** 20
/** Blocks waiting for the disk before the network is asked to pause. */
const MOST_WAITING = 2

export interface PartWriterOptions {
  path: string
  /** Whose bytes these are: nothing is written while it can't be proved that they are its own. */
  task: Pick<Task, 'owned' | 'proven'>
  /** Starts a write-back whenever this many bytes are new. */
  flushBytes: number
  /** For tests of failing disks. */
  write?: typeof writeFile
}

/**
 * Appends to a part file and hashes on the way. Chunks are gathered into blocks of 1 MiB; a block is hashed while the disk
 * takes it. One write is out at a time and in order, so that the file's length always tells how much of it is good.
 */
export class PartWriter {
  /** Bytes taken in, those that still wait for the disk included. */
  bytes = 0
  onDrain: () => void = () => {}
  /** Called once, when the disk or the lease refuses; `write` throws the same from then on. */
  onFailure: (failure: Error) => void = () => {}

  readonly #handle: FileHandle
  readonly #options: PartWriterOptions
  #hash: Hash = createHash('sha256')
  #block: Buffer = Buffer.allocUnsafeSlow(BLOCK)
  #filled = 0
  readonly #spare: Buffer[] = []
  readonly #waiting: Buffer[] = []
  #position = 0
  #written = 0
  #syncedTo = 0
  #writing = false
  #syncing = false
  #failure: Error | undefined
  #onIdle: (() => void) | undefined

  constructor(handle: FileHandle, options: PartWriterOptions) {
    this.#handle = handle
    this.#options = options
  }

  /** Bytes that the operating system has. */
  get written(): number {
    return this.#written
  }

  /** @returns false when the caller should pause until `onDrain` */
  write(chunk: Buffer): boolean {
    if (this.#failure) throw this.#failure
    for (let at = 0; at < chunk.length; ) {
      const copied = chunk.copy(this.#block, this.#filled, at)
      this.#filled += copied
      at += copied
      if (this.#filled === BLOCK) this.#turnOver()
    }
    this.bytes += chunk.length
    return this.#waiting.length < MOST_WAITING
  }

  /** Takes in bytes that the file already has at its end. */
  absorb(chunk: Buffer): void {
    this.#hash.update(chunk)
    this.bytes += chunk.length
    this.#position += chunk.length
    this.#written = this.#syncedTo = this.#position
  }

  /** Forgets everything: the file is empty afterwards. */
  async restart(): Promise<void> {
    await this.settle()
    await this.#options.task.proven()
    await this.#handle.truncate(0)
    this.#hash = createHash('sha256')
    this.bytes = this.#position = this.#written = this.#syncedTo = this.#filled = 0
  }

  /** Writes what is left and waits for the disk; throws what it has refused. */
  async settle(): Promise<void> {
    if (!this.#failure) this.#turnOver()
    await this.idle()
    if (this.#failure) throw this.#failure
  }

  /** Resolves when nothing touches the file any more, failed or not. */
  async idle(): Promise<void> {
    if (!this.#writing && !this.#syncing) return
    await new Promise<void>((resolve) => {
      this.#onIdle = resolve
    })
  }

  /** The SHA-256 of all bytes taken in, in hex; they are on the disk for good when it resolves. Call it once. */
  async finish(): Promise<string> {
    await this.settle()
    await this.#handle.sync().catch((error: unknown) => {
      throw diskFailure(error, this.#options.path)
    })
    return this.#hash.digest('hex')
  }

  #turnOver(): void {
    if (this.#filled === 0) return
    const block = this.#block.subarray(0, this.#filled)
    this.#block = this.#spare.pop() ?? Buffer.allocUnsafeSlow(BLOCK)
    this.#filled = 0
    this.#waiting.push(block)
    if (!this.#writing) this.#writeNext()
    this.#hash.update(block)
  }

  #writeNext(): void {
    if (this.#failure) this.#waiting.length = 0
    const block = this.#waiting[0]
    if (!block) this.#settled()
    else if (this.#options.task.owned) this.#writeAll(block, 0)
    else this.#writeOnceProven()
  }

  /** While the database is away, the network is kept waiting. */
  #writeOnceProven(): void {
    this.#writing = true
    this.#options.task.proven().then(
      () => {
        this.#writing = false
        this.#writeNext()
      },
      (error: unknown) => {
        this.#writing = false
        this.#fail(asError(error))
      },
    )
  }

  #writeAll(block: Buffer, from: number): void {
    const write = this.#options.write ?? writeFile
    this.#writing = true
    write(this.#handle.fd, block, from, block.length - from, this.#position, (error, count) => {
      this.#writing = false
      if (error) return this.#fail(diskFailure(error, this.#options.path))
      this.#position += count
      this.#written = this.#position
      // A disk that fills up takes the first part of a write; the rest then gets its error.
      if (from + count < block.length) return this.#writeAll(block, from + count)
      this.#waiting.shift()
      // A block that was written half full is the last one.
      if (block.length === BLOCK) this.#spare.push(block)
      this.#syncIfDue()
      this.#writeNext()
      if (this.#waiting.length < MOST_WAITING) this.onDrain()
    })
  }

  #syncIfDue(): void {
    if (this.#syncing || this.#position - this.#syncedTo < this.#options.flushBytes) return
    this.#syncing = true
    this.#syncedTo = this.#position
    fdatasync(this.#handle.fd, (error) => {
      this.#syncing = false
      if (error) this.#fail(diskFailure(error, this.#options.path))
      else if (!this.#writing) this.#settled()
    })
  }

  #fail(failure: Error): void {
    this.#waiting.length = 0
    if (!this.#failure) {
      this.#failure = failure
      this.onFailure(failure)
    }
    this.#settled()
  }

  #settled(): void {
    if (this.#writing || this.#syncing) return
    this.#onIdle?.()
    this.#onIdle = undefined
  }
}
