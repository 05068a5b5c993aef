import { FleetError, UnrecoverableError } from '@taskfleet/protocol'
import type { HandlerContext } from '@taskfleet/worker'
import type { Sink } from './body-flow.ts'
import type { DownloadInput, DownloadState } from './contract.ts'
import { checkSpace } from './destination.ts'
import { codeOf } from './failures.ts'
import type { Reply } from './http-exchange.ts'
import type { Source } from './http-source.ts'
import type { PartFile, PartOwner } from './part-file.ts'
import { RateWatch } from './rate-watch.ts'
import { relieveReadBuffers } from './read-buffers.ts'
import { type DownloadRequest, tooLarge } from './request.ts'
import { planResume, type ResumePlan } from './resume-plan.ts'

const SAVE_EVERY_MS = 2000

export interface TransferOptions {
  owner: PartOwner
  part: PartFile
  source: Source
  request: DownloadRequest
  context: HandlerContext<DownloadInput>
  stallMs: number
  minBytesPerSecond: number | undefined
  /** What is known of the bytes that the part file has already. */
  previous: DownloadState | undefined
}

/** Brings into a part file what it lacks. */
export class Transfer {
  /** Body bytes received. */
  fetched = 0
  #fetchedSinceRestart = 0
  #etag: string | undefined
  #total: number | undefined
  #savedAt = 0
  #saving = false
  readonly #options: TransferOptions

  constructor(options: TransferOptions) {
    this.#options = options
    this.#etag = options.previous?.etag
    this.#total = options.previous?.total
  }

  /** Bytes of the file that were on disk before. */
  get resumedFrom(): number {
    return this.#options.part.writer.bytes - this.#fetchedSinceRestart
  }

  /**
   * Asks for the missing bytes until all are there, by the rules of `planResume`.
   * @param first the answer to a request without a range, where one was made already
   */
  async fetchRest(first: Reply | undefined): Promise<void> {
    const { source, request, context, part } = this.#options
    const { writer } = part
    let refetched = false
    let next = first
    while (writer.bytes !== this.#total) {
      if (writer.bytes > 0 && (this.#etag === undefined || writer.bytes > (this.#total ?? writer.bytes)))
        await this.#restart()
      const disk = { bytes: writer.bytes, etag: this.#etag, total: this.#total }
      const reply =
        next ?? (await source.open(disk.etag && disk.bytes > 0 ? { from: disk.bytes, etag: disk.etag } : undefined))
      next = undefined
      const plan = planResume(reply, disk)
      if (plan.kind === 'complete') {
        this.#total = disk.bytes
      } else if (plan.kind === 'refetch') {
        reply.stop(new Error('not needed'))
        if (refetched || disk.bytes === 0)
          throw new FleetError('RESUME_FAILED', `the server does not send what it is asked for: ${plan.why}`)
        refetched = true
        context.log.warn(`starting again from the first byte: ${plan.why}`)
        await this.#restart()
      } else {
        await this.#take(reply, plan)
        if (plan.kind === 'restart') this.#total ??= writer.bytes
        if (writer.bytes === disk.bytes && writer.bytes !== this.#total) {
          throw new FleetError('LENGTH_MISMATCH', `the server sent ${writer.bytes} of ${this.#total ?? 'more'} bytes`)
        }
      }
    }
    if (request.size !== undefined && request.size !== this.#total) throw wrongSize(request.size, this.#total)
  }

  /** Stores how far the part file is; with `sha256`, that it is complete and about to get its name. */
  async save(sha256?: string): Promise<void> {
    const { owner, part, request, context } = this.#options
    this.#savedAt = performance.now()
    const state: DownloadState = {
      source: request.source,
      file: owner.name,
      part: owner.leaseId,
      bytes: part.writer.written,
      ...(this.#etag !== undefined && { etag: this.#etag }),
      ...(this.#total !== undefined && { total: this.#total }),
      ...(sha256 !== undefined && { sha256 }),
    }
    await context.checkpoint.save(state)
  }

  async #restart(): Promise<void> {
    await this.#options.part.writer.restart()
    this.#fetchedSinceRestart = 0
    this.#etag = this.#total = undefined
  }

  /** Lets one answer's body into the part file. */
  async #take(reply: Reply, plan: Extract<ResumePlan, { kind: 'append' | 'restart' }>): Promise<void> {
    const { context, request, owner, part } = this.#options
    const { writer } = part
    if (plan.kind === 'append') {
      context.log.info(`resumed at byte ${writer.bytes} of ${plan.total ?? 'an unknown number'}`)
    } else {
      if (writer.bytes > 0) {
        const why = plan.etag === this.#etag ? 'the server ignored the range' : 'the file changed on the server'
        context.log.info(`starting again from the first byte: ${why}`)
      }
      await this.#restart()
      this.#etag = plan.etag
    }
    this.#total = plan.total
    try {
      this.#checkTotal(plan.total)
      if (plan.total !== undefined) await checkSpace(owner.folder, plan.total - writer.bytes)
      // Before the first byte: the state must never describe another version than the one on disk.
      await this.save()
    } catch (error) {
      reply.stop(new Error('not wanted'))
      throw error
    }
    if (reply.headers['content-encoding'] !== undefined) {
      context.log.warn(`the server encoded the file (${reply.headers['content-encoding']}); it is stored as sent`)
    }
    if (request.size !== undefined || plan.total !== undefined) this.#report()
    await this.#pump(reply)
    this.#report()
  }

  async #pump(reply: Reply): Promise<void> {
    const { writer } = this.#options.part
    const watch = this.#watchRate(reply)
    writer.onFailure = (failure) => reply.stop(failure)
    const take = (count: number, into: () => boolean): boolean => {
      this.#checkTotal(writer.bytes + count)
      const flowing = into()
      if (!flowing) watch?.hold()
      relieveReadBuffers(count)
      this.fetched += count
      this.#fetchedSinceRestart += count
      this.#report()
      if (performance.now() - this.#savedAt > SAVE_EVERY_MS) this.#saveInPassing(reply)
      return flowing
    }
    const sink: Sink = {
      onDrain: () => {},
      write: (chunk) => {
        return take(chunk.length, () => writer.write(chunk))
      },
      direct: {
        space: () => writer.space(),
        filled: (count) => take(count, () => writer.filled(count)),
      },
    }
    writer.onDrain = () => {
      watch?.open()
      sink.onDrain()
    }
    try {
      await reply.pipe(sink)
    } finally {
      watch?.stop()
    }
  }

  #checkTotal(bytes = 0): void {
    const { maxBytes, size } = this.#options.request
    if (bytes > maxBytes) throw tooLarge(bytes, maxBytes)
    if (size !== undefined && (bytes > size || (this.#total ?? size) !== size))
      throw wrongSize(size, this.#total ?? bytes)
    if (bytes > (this.#total ?? bytes))
      throw new FleetError('LENGTH_MISMATCH', `the server sent more than the ${this.#total} bytes of the file`)
  }

  #report(): void {
    const total = this.#total ?? this.#options.request.size
    this.#options.context.progress({
      done: this.#options.part.writer.bytes,
      unit: 'bytes',
      ...(total !== undefined && { total }),
    })
  }

  /** A checkpoint that could not be stored costs a later attempt some bytes; a lost lease ends this one. */
  #saveInPassing(reply: Reply): void {
    if (this.#saving) return
    this.#saving = true
    this.save()
      .catch((error: unknown) => {
        if (codeOf(error) === 'LEASE_LOST' && error instanceof Error) reply.stop(error)
        else this.#options.context.log.warn(`the checkpoint was not stored: ${error}`)
      })
      .finally(() => {
        this.#saving = false
      })
  }

  #watchRate(reply: Reply): RateWatch | undefined {
    const { minBytesPerSecond, stallMs } = this.#options
    if (minBytesPerSecond === undefined) return undefined
    return new RateWatch({
      minBytesPerSecond,
      windowMs: stallMs,
      received: () => this.fetched,
      onTooSlow: (rate) =>
        reply.stop(new FleetError('TOO_SLOW', `the server sends ${Math.round(rate)} bytes a second`)),
    })
  }
}

const wrongSize = (expected: number, found: number | undefined) =>
  new UnrecoverableError('LENGTH_MISMATCH', `the file should have ${expected} bytes, and the server's has ${found}`)
