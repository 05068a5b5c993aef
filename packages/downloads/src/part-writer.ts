import { write as writeFile } from 'node:fs'
import type { FileHandle } from 'node:fs/promises'
import { asError } from '@taskfleet/core'
import type { Algorithm } from '@taskfleet/download-contract/internal'
import type { Task } from '@taskfleet/worker'
import type { Checksums } from './checksums.ts'
import { diskFailure } from './failures.ts'
import { BLOCK, type HashThreads, type RunningHash } from './hash-threads.ts'
import { WriteBack } from './write-back.ts'

/** Blocks that the disk or the hash still reads before the network is asked to pause. */
const MOST_OUT = 8

export interface PartWriterOptions {
  path: string
  /** Whose bytes these are: nothing is written while it can't be proved that they are its own. */
  task: Pick<Task, 'owned' | 'proven'>
  /** Starts a write-back whenever this many bytes are new. */
  flushBytes: number
  threads: HashThreads
  /** Computed beside SHA-256. */
  algorithms?: readonly Algorithm[]
  /** For tests of failing disks. */
  write?: typeof writeFile
}

/** A block that is full, or the last one. */
interface Piece {
  block: Buffer
  bytes: Buffer
  /** How many still read it: the disk and the hashes. */
  readers: number
}

/**
 * Appends to a part file and hashes on the way. Bytes are gathered in blocks; a block is hashed while the disk
 * takes it. One write is out at a time and in order, so that the file's length always tells how much of it is good.
 */
export class PartWriter {
  /** Bytes taken in, those that still wait for the disk included. */
  bytes = 0
  onDrain: () => void = () => {}
  /** Called before the file is changed for the first time, and after a restart; a failure of it is the writer's. */
  onClaim: () => Promise<void> = async () => {}
  /** Called next, before the first byte is written. It stores whose bytes these are. */
  onBegin: () => Promise<void> = async () => {}
  /** Called once, when the disk, the lease or the hash fails; `write` throws the same from then on. */
  onFailure: (failure: Error) => void = () => {}

  readonly #handle: FileHandle
  readonly #options: PartWriterOptions
  readonly #threads: HashThreads
  readonly #writeBack: WriteBack
  /** SHA-256 first, then what else is wanted. */
  #hashes: [algorithm: Algorithm, hash: RunningHash][]
  #algorithms: readonly Algorithm[]
  #block: Buffer | undefined
  #filled = 0
  readonly #toWrite: Piece[] = []
  /** Pieces that the disk or the hash still reads. */
  #out = 0
  #position = 0
  #written = 0
  #writing = false
  /** Undefined until the first byte has to be written. */
  #begun: Promise<void> | undefined
  #mayWrite = true
  /** Whether the file still has the bytes from before a restart. */
  #stale = false
  #failure: Error | undefined
  #onIdle: (() => void) | undefined

  constructor(handle: FileHandle, options: PartWriterOptions) {
    this.#handle = handle
    this.#options = options
    this.#threads = options.threads
    this.#writeBack = new WriteBack({
      ...options,
      handle,
      onDone: () => this.#settled(),
      onFailure: (failure) => this.#fail(failure),
    })
    this.#algorithms = options.algorithms ?? []
    this.#hashes = this.#openHashes()
  }

  #openHashes(): [Algorithm, RunningHash][] {
    const algorithms = new Set<Algorithm>(['sha256', ...this.#algorithms])
    return [...algorithms].map((algorithm) => [algorithm, this.#threads.open(algorithm)])
  }

  /** Bytes that the operating system has. */
  get written(): number {
    return this.#written
  }

  /** Whether the file has any bytes, old ones included. */
  get hasBytes(): boolean {
    return this.#written > 0 || this.#stale
  }

  /** Whether the file is claimed, and what is in it is stored. */
  get begun(): boolean {
    return this.#begun !== undefined && this.#mayWrite
  }

  /** Where the next bytes may be received without a copy; `filled` takes them in. */
  space(): Buffer {
    this.#block ??= this.#threads.takeBlock()
    return this.#block.subarray(this.#filled)
  }

  /** @returns false when the caller should pause until `onDrain` */
  filled(count: number): boolean {
    if (this.#failure) throw this.#failure
    this.#filled += count
    this.bytes += count
    if (this.#filled === BLOCK) this.#turnOver()
    return this.#flowing
  }

  /** Copies what was not received in `space`. @returns false when the caller should pause until `onDrain` */
  write(chunk: Buffer): boolean {
    let flowing = true
    for (let at = 0; at < chunk.length; ) {
      const count = chunk.copy(this.space(), 0, at)
      flowing = this.filled(count)
      at += count
    }
    return flowing
  }

  /** Takes in bytes that the file has already behind those that were taken in. */
  async absorb(chunk: Buffer): Promise<void> {
    await Promise.all(this.#hashes.map(([, hash]) => hash.update(chunk)))
    this.bytes += chunk.length
    this.#position += chunk.length
    this.#written = this.#position
  }

  /** From here on, nothing is written before `begin`. */
  holdUntilBegun(): void {
    this.#begun = undefined
    this.#mayWrite = false
  }

  /** Claims the file and stores what is in it, once; by itself it happens with the first byte. */
  begin(): Promise<void> {
    this.#begun ??= this.#begin()
    return this.#begun
  }

  async #begin(): Promise<void> {
    await this.#options.task.proven()
    await this.onClaim()
    // Before it is stored that the file has other bytes: the old ones must never pass for them.
    if (this.#stale) await this.#handle.truncate(0)
    this.#stale = false
    await this.onBegin()
    this.#mayWrite = true
  }

  /**
   * Forgets everything. The file itself keeps its bytes until there are others to write.
   *
   * @param algorithms computed from here on, beside SHA-256
   */
  async restart(algorithms: readonly Algorithm[] = this.#algorithms): Promise<void> {
    await this.settle()
    this.#stale ||= this.#written > 0
    this.holdUntilBegun()
    this.#closeHashes()
    this.#algorithms = algorithms
    this.#hashes = this.#openHashes()
    this.bytes = this.#position = this.#written = this.#filled = 0
  }

  /** Writes what is left and waits for the disk and the hash; throws what has failed. */
  async settle(): Promise<void> {
    if (!this.#failure) this.#turnOver()
    await this.idle()
    if (this.#failure) throw this.#failure
  }

  /** Resolves when nothing touches the file or a block any more, failed or not. */
  async idle(): Promise<void> {
    if (!this.#busy) return
    await new Promise<void>((resolve) => {
      this.#onIdle = resolve
    })
  }

  /** The checksums of all bytes taken in; they are on the disk for good when it resolves. Call it once. */
  async finish(): Promise<Checksums & { sha256: string }> {
    await this.settle()
    // A segment of another version may have been longer.
    const cut = this.#handle.truncate(this.bytes)
    const synced = cut
      .then(() => this.#handle.sync())
      .catch((error: unknown) => {
        throw diskFailure(error, this.#options.path)
      })
    const digests = this.#hashes.map(async ([algorithm, hash]) => [algorithm, await hash.digest()] as const)
    const [found] = await Promise.all([Promise.all(digests), synced])
    return Object.fromEntries(found) as Checksums & { sha256: string }
  }

  /** Gives up the block and the hash. Nothing can be written afterwards. */
  async close(): Promise<void> {
    await this.idle()
    this.#closeHashes()
    if (this.#block) this.#threads.giveBack(this.#block)
    this.#block = undefined
    this.#failure ??= new Error('the part file is closed')
  }

  #closeHashes(): void {
    for (const [, hash] of this.#hashes) hash.close()
  }

  get #flowing(): boolean {
    return this.#out < (this.#threads.scarce ? 1 : MOST_OUT)
  }

  get #busy(): boolean {
    return this.#writing || this.#writeBack.busy || this.#out > 0
  }

  #turnOver(): void {
    if (this.#block === undefined || this.#filled === 0) return
    const piece: Piece = {
      block: this.#block,
      bytes: this.#block.subarray(0, this.#filled),
      readers: 1 + this.#hashes.length,
    }
    this.#block = undefined
    this.#filled = 0
    this.#out++
    this.#toWrite.push(piece)
    if (!this.#writing) this.#writeNext()
    for (const [, hash] of this.#hashes) {
      hash.update(piece.bytes).then(
        () => this.#done(piece),
        (error: unknown) => {
          this.#done(piece)
          this.#fail(asError(error))
        },
      )
    }
  }

  #done(piece: Piece): void {
    piece.readers--
    if (piece.readers > 0) return
    this.#threads.giveBack(piece.block)
    this.#out--
    if (this.#flowing && !this.#failure) this.onDrain()
    this.#settled()
  }

  #writeNext(): void {
    if (this.#failure) for (const piece of this.#toWrite.splice(0)) this.#done(piece)
    const piece = this.#toWrite[0]
    if (!piece) this.#settled()
    else if (!this.#mayWrite) this.#writeOnce(this.begin())
    else if (this.#options.task.owned) this.#writeAll(piece, 0)
    else this.#writeOnce(this.#options.task.proven())
  }

  /** While the database is away, the network is kept waiting. */
  #writeOnce(allowed: Promise<void>): void {
    this.#writing = true
    allowed.then(
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

  #writeAll(piece: Piece, from: number): void {
    const write = this.#options.write ?? writeFile
    const { bytes } = piece
    this.#writing = true
    write(this.#handle.fd, bytes, from, bytes.length - from, this.#position, (error, count) => {
      this.#writing = false
      if (error) return this.#fail(diskFailure(error, this.#options.path))
      this.#position += count
      this.#written = this.#position
      this.#writeBack.written(count)
      // A disk that fills up takes the first part of a write; the rest then gets its error.
      if (from + count < bytes.length) return this.#writeAll(piece, from + count)
      this.#toWrite.shift()
      this.#writeNext()
      this.#done(piece)
    })
  }

  #fail(failure: Error): void {
    if (!this.#failure) {
      this.#failure = failure
      this.onFailure(failure)
    }
    // A write that is out reports by itself.
    if (!this.#writing) this.#writeNext()
  }

  #settled(): void {
    if (this.#busy) return
    this.#onIdle?.()
    this.#onIdle = undefined
  }
}
