import { write as writeFile } from 'node:fs'
import type { FileHandle } from 'node:fs/promises'
import { asError } from '@taskfleet/core'
import type { Task } from '@taskfleet/worker'
import { diskFailure } from './failures.ts'
import { BLOCK, type HashThreads } from './hash-threads.ts'
import type { Segment } from './segment-map.ts'
import { WriteBack } from './write-back.ts'

/** Blocks that wait for the disk before the network is asked to pause. */
const MOST_OUT = 4

export interface SpanWriterOptions {
  handle: FileHandle
  path: string
  /** Nothing is written while it can't be proved that the task is ours. */
  task: Pick<Task, 'owned' | 'proven'>
  threads: HashThreads
  flushBytes: number
}

interface Piece {
  block: Buffer
  bytes: Buffer
  position: number
}

/** Writes one segment at its place in a part file. It hashes nothing: the bytes are read back when all before them are there. */
export class SpanWriter {
  onDrain: () => void = () => {}
  /** Called once, when the disk or the lease fails. */
  onFailure: (failure: Error) => void = () => {}

  readonly #options: SpanWriterOptions
  readonly #segment: Segment
  readonly #onWritten: (from: number, to: number) => void
  readonly #writeBack: WriteBack
  readonly #waiting: Piece[] = []
  #block: Buffer | undefined
  #filled = 0
  #writing = false
  #failure: Error | undefined
  #onIdle: (() => void) | undefined

  /** @param onWritten called when the operating system has these bytes */
  constructor(segment: Segment, options: SpanWriterOptions, onWritten: (from: number, to: number) => void) {
    this.#segment = segment
    this.#options = options
    this.#onWritten = onWritten
    this.#writeBack = new WriteBack({
      ...options,
      onDone: () => this.#settled(),
      onFailure: (failure) => this.#fail(failure),
    })
  }

  /** Where the next bytes may be received without a copy; `filled` takes them in. */
  space(): Buffer {
    this.#block ??= this.#options.threads.takeBlock()
    const { at, to } = this.#segment
    return this.#block.subarray(this.#filled, Math.min(BLOCK, this.#filled + to - at))
  }

  /** @returns false when the caller should pause until `onDrain` */
  filled(count: number): boolean {
    if (this.#failure) throw this.#failure
    this.#filled += count
    this.#segment.at += count
    if (this.#filled === BLOCK) this.#turnOver()
    return this.#flowing
  }

  /** Copies what was not received in `space`; what is behind the segment's end is left out. */
  write(chunk: Buffer): boolean {
    let flowing = true
    for (let at = 0; at < chunk.length && this.#segment.at < this.#segment.to; ) {
      const count = chunk.copy(this.space(), 0, at)
      flowing = this.filled(count)
      at += count
    }
    return flowing
  }

  /** Writes what is left; nothing touches the file or a block any more when it resolves. Call it once. @throws what has failed */
  async close(): Promise<void> {
    if (!this.#failure) this.#turnOver()
    if (this.#busy) {
      await new Promise<void>((resolve) => {
        this.#onIdle = resolve
      })
    }
    if (this.#block) this.#options.threads.giveBack(this.#block)
    this.#block = undefined
    if (this.#failure) throw this.#failure
  }

  get #flowing(): boolean {
    return this.#waiting.length < (this.#options.threads.scarce ? 1 : MOST_OUT)
  }

  get #busy(): boolean {
    return this.#writing || this.#writeBack.busy || this.#waiting.length > 0
  }

  #turnOver(): void {
    if (this.#block === undefined || this.#filled === 0) return
    const bytes = this.#block.subarray(0, this.#filled)
    this.#waiting.push({ block: this.#block, bytes, position: this.#segment.at - this.#filled })
    this.#block = undefined
    this.#filled = 0
    if (!this.#writing) this.#writeNext()
  }

  #writeNext(): void {
    if (this.#failure) for (const { block } of this.#waiting.splice(0)) this.#options.threads.giveBack(block)
    const piece = this.#waiting[0]
    if (piece === undefined) {
      this.#settled()
      return
    }
    if (this.#options.task.owned) {
      this.#writeAll(piece, 0)
      return
    }
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

  #writeAll(piece: Piece, from: number): void {
    const { handle, path, threads } = this.#options
    const { bytes, block, position } = piece
    this.#writing = true
    writeFile(handle.fd, bytes, from, bytes.length - from, position + from, (error, count) => {
      this.#writing = false
      if (error) return this.#fail(diskFailure(error, path))
      if (from + count < bytes.length) return this.#writeAll(piece, from + count)
      this.#waiting.shift()
      threads.giveBack(block)
      this.#onWritten(position, position + bytes.length)
      this.#writeBack.written(bytes.length)
      this.#writeNext()
      if (this.#flowing && !this.#failure) this.onDrain()
    })
  }

  #fail(failure: Error): void {
    if (!this.#failure) {
      this.#failure = failure
      this.onFailure(failure)
    }
    if (!this.#writing) this.#writeNext()
  }

  #settled(): void {
    if (this.#busy) return
    this.#onIdle?.()
    this.#onIdle = undefined
  }
}
