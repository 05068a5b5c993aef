import { fdatasync } from 'node:fs'
import type { FileHandle } from 'node:fs/promises'
import { diskFailure } from './failures.ts'

export interface WriteBackOptions {
  handle: FileHandle
  /** For messages. */
  path: string
  /** Starts whenever this many bytes are new. */
  flushBytes: number
  onDone(): void
  onFailure(failure: Error): void
}

/** Starts writing a file back to the disk now and then, so that the last `fsync` is short. */
export class WriteBack {
  readonly #options: WriteBackOptions
  #new = 0
  #busy = false

  constructor(options: WriteBackOptions) {
    this.#options = options
  }

  get busy(): boolean {
    return this.#busy
  }

  /** The file has this many bytes more. */
  written(bytes: number): void {
    const { handle, path, flushBytes, onDone, onFailure } = this.#options
    this.#new += bytes
    if (this.#busy || this.#new < flushBytes) return
    this.#busy = true
    this.#new = 0
    fdatasync(handle.fd, (error) => {
      this.#busy = false
      if (error) onFailure(diskFailure(error, path))
      else onDone()
    })
  }
}
