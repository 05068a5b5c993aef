import { setTimeout as sleep } from 'node:timers/promises'
import { FleetError, UnrecoverableError } from '@taskfleet/protocol'
import type { HandlerContext } from '@taskfleet/worker'
import type { Sink } from './body-flow.ts'
import { algorithmsOf, type Checksums, serverChecksum } from './checksums.ts'
import { Connections } from './connections.ts'
import type { DownloadInput, DownloadState } from './contract.ts'
import { checkFree, reserveSpace } from './disk-space.ts'
import { codeOf, shown, statusFailure } from './failures.ts'
import type { Reply } from './http-exchange.ts'
import type { Mirrors } from './mirrors.ts'
import { type PartFile, type PartOwner, removeLeftovers } from './part-file.ts'
import { RateWatch } from './rate-watch.ts'
import { relieveReadBuffers } from './read-buffers.ts'
import { type DownloadRequest, sourceOf, tooLarge } from './request.ts'
import {
  isResumable,
  type OnDisk,
  planResume,
  type RangeRequest,
  type ResumePlan,
  rangeRequests,
  type Version,
} from './resume-plan.ts'
import { type Segment, SegmentMap } from './segment-map.ts'

const SAVE_EVERY_MS = 2000
/** Below this, in bytes, a file is not worth more connections. */
const LEAST_FOR_SEGMENTS = 4 * 2 ** 20
/** A try that brings more than this is followed by the next one at once. */
const SMALL_GAIN = 2 ** 14
const MOST_SMALL_GAINS = 5
const FIRST_PAUSE_MS = 250
/** How often one attempt throws away what it has. */
const MOST_RESTARTS_OF_ATTEMPT = 3
/** How often a task throws away what it has without getting further than before. */
const MOST_RESTARTS = 10
/** How a connection ends a try and no more. */
const BREAKS = new Set(['LENGTH_MISMATCH', 'CONNECTION_LOST', 'BAD_RESPONSE', 'STALLED', 'TOO_SLOW'])
/** What ends an attempt, though it is met beside the transfer. */
const FINAL = new Set(['LEASE_LOST', 'INSUFFICIENT_SPACE'])
/** What servers answer to a range that they don't like. They may like a request for the whole. */
const REFUSED_RANGE = /^HTTP_(400|403|405|406|412|417|501)$/

export interface TransferOptions {
  owner: PartOwner
  part: PartFile
  source: Mirrors
  request: DownloadRequest
  context: HandlerContext<DownloadInput>
  stallMs: number
  minBytesPerSecond: number | undefined
  keepFree: number | undefined
  /** The checkpoint of earlier attempts. It describes the bytes that the part file has already. */
  previous: DownloadState | undefined
}

/** Brings into a part file what it lacks, over as many connections as it takes. */
export class Transfer {
  /** Body bytes received. */
  fetched = 0
  #fetchedSinceRestart = 0
  #version: Version = {}
  #digest: Checksums = {}
  #total: number | undefined
  #pieces = false
  /** What is there behind the bytes of the writer, and what is on its way. */
  #map = new SegmentMap()
  /** Whether the part may have bytes behind a hole. */
  #inSegments = false
  #connections: Connections | undefined
  /** Gives up the room on the disk that is counted on. */
  #freeSpace: (() => void) | undefined
  /** What the first connection brings. */
  #first: Segment | undefined
  /** The most bytes that this attempt had. */
  #furthest: number
  #smallGains = 0
  #restartsHere = 0
  /** Whether bytes of more than one address are in the part. */
  #mixed = false
  /** Whether what is on the disk is known to be wrong. */
  #wrong = false
  /** The most bytes that any attempt had, and how often they were thrown away since. */
  #most: number
  #restarts: number
  #savedAt: number | undefined
  #saving = false
  /** What was met beside the transfer, and ends the attempt. */
  #ended: Error | undefined
  /** Ends the connection that the writer gets its bytes from. */
  #stopReply: (reason: Error) => void = () => {}
  readonly #options: TransferOptions

  constructor(options: TransferOptions) {
    this.#options = options
    const { previous, part } = options
    this.#most = previous?.most ?? previous?.bytes ?? 0
    this.#restarts = previous?.restarts ?? 0
    if (previous !== undefined && part.writer.bytes > 0) {
      const { etag, lastModified, weakEtag, total } = previous
      this.#version = { etag, lastModified, weakEtag }
      this.#total = total
      this.#digest = previous.digest ?? {}
      this.#inSegments = previous.ahead !== undefined
      this.#map = new SegmentMap(part.ahead)
    }
    this.#furthest = this.#have
    part.writer.onBegin = () => this.#begin()
  }

  /** Bytes of the file that were on disk before. */
  get resumedFrom(): number {
    return this.#have - this.#fetchedSinceRestart
  }

  get #have(): number {
    const { bytes } = this.#options.part.writer
    return bytes + this.#map.bytesBeyond(bytes)
  }

  /** Whether a later attempt can add to the bytes of this one. */
  get resumable(): boolean {
    return isResumable(this.#version, this.#checked)
  }

  /** Whether the bytes on the disk are known to be wrong. */
  get wrong(): boolean {
    return this.#wrong
  }

  /** What the file must have, by the caller and by the server. */
  get checksums(): Checksums {
    return { ...this.#digest, ...this.#options.request.checksums }
  }

  get #checked(): boolean {
    return algorithmsOf(this.#options.request.checksums).length > 0
  }

  /** Whether starting over once more is no use: it was done often, and never got further. */
  get hopeless(): boolean {
    return this.#restarts >= MOST_RESTARTS
  }

  /**
   * Requests the missing bytes until all are there, by the rules of `planResume`. A connection that ends early ends this try only: as long
   * as tries bring bytes, they go on.
   *
   * @param first the answer to a request without a range, where one was made already
   */
  async fetchRest(first: Reply | undefined): Promise<void> {
    const { part, request } = this.#options
    const { writer } = part
    let next = first
    try {
      while (writer.bytes !== this.#total) {
        if (await this.#catchUp()) continue
        const before = this.#have
        try {
          const { reply, plan } = await this.#request(next)
          next = undefined
          if (plan.kind === 'complete') {
            reply.stop(new Error('not needed'))
            this.#total = writer.bytes
            continue
          }
          await this.#take(reply, plan)
          if (plan.kind === 'restart' && !plan.piece) this.#total ??= writer.bytes
          this.#pieces = plan.kind === 'restart' ? plan.piece : this.#pieces || plan.total === undefined
          if (this.#have === before && writer.bytes !== this.#total) {
            throw new FleetError('LENGTH_MISMATCH', `the server sent ${writer.bytes} of ${this.#total ?? 'more'} bytes`)
          }
        } catch (error) {
          await this.#goOnAfter(error)
        } finally {
          this.#endFirst()
        }
        this.#furthest = Math.max(this.#furthest, this.#have)
      }
    } finally {
      this.#freeSpace?.()
      await this.#endSegments()
    }
    if (request.size !== undefined && request.size !== this.#total) throw wrongSize(request.size, this.#total)
  }

  /**
   * After a wrong checksum: forgets all bytes, so that `fetchRest` brings them anew from the next address. If they came from several addresses, or from
   * an earlier attempt, the present one is not to blame and is asked once more.
   *
   * @throws what the attempt ends with, when there is no other address
   */
  async startOver(failure: unknown): Promise<void> {
    const { source, context, part } = this.#options
    this.#wrong = true
    const toBlame = this.resumedFrom === 0 && !this.#mixed
    if (toBlame || !source.several) source.leave(failure)
    context.log.warn(
      `throwing away ${part.writer.bytes} bytes and going on with ${shown(source.url)} after ${codeOf(failure)}`,
    )
    await this.#leaveSegments()
    await this.#forget({})
    this.#furthest = 0
    this.#smallGains = 0
  }

  /** Takes what other connections have brought, or waits for it. @returns false when the next byte is nobody's */
  async #catchUp(): Promise<boolean> {
    const { part, context } = this.#options
    const { writer } = part
    const end = this.#map.wholeTo(writer.bytes)
    if (end > writer.bytes) await part.absorb(end)
    else if (this.#connections && this.#map.isRunning(writer.bytes)) await this.#connections.change()
    else return false
    if (context.signal.aborted) throw context.signal.reason
    const failure = this.#ended ?? this.#connections?.failure
    if (failure) throw failure
    this.#report()
    this.#saveIfDue()
    return true
  }

  #endFirst(): void {
    if (this.#first) this.#map.end(this.#first)
    this.#first = undefined
  }

  async #endSegments(): Promise<void> {
    await this.#connections?.close()
    this.#connections = undefined
  }

  /** Whether the length of the part file says nothing, so that its checkpoint has to be right. */
  get inSegments(): boolean {
    return this.#inSegments
  }

  /** Stores how far the part file is; with `sha256`, that it is complete and about to get its name, which may be another one by now. */
  async save(sha256?: string, file = this.#options.owner.name): Promise<void> {
    const { owner, part, request, context } = this.#options
    const { written, bytes } = part.writer
    this.#savedAt = performance.now()
    const ahead = this.#map.beyond(bytes)
    const inAll = written + this.#map.bytesBeyond(bytes)
    if (inAll > this.#most) {
      this.#most = inAll
      this.#restarts = 0
    }
    await context.checkpoint.save({
      source: sourceOf(request, this.#inSegments),
      file,
      part: owner.leaseId,
      bytes: written,
      ...(this.#inSegments && { ahead: ahead.flatMap(({ from, to }) => [from, to]) }),
      ...defined({ ...this.#version, total: this.#total, sha256 }),
      ...(algorithmsOf(this.#digest).length > 0 && { digest: this.#digest }),
      ...(this.#restarts > 0 && { most: this.#most, restarts: this.#restarts }),
    } satisfies DownloadState)
  }

  /** Runs before the first byte is written: the stored state must never describe another version than the one on disk. */
  async #begin(): Promise<void> {
    const { owner, context } = this.#options
    this.#wrong = false
    // What can't be added to later is nothing that an attempt has brought: such a failure counts.
    if (this.resumable || this.#savedAt !== undefined) await this.save()
    if (context.task.attempt > 1) await removeLeftovers(owner)
  }

  /** Requests what is missing, in the best way that the server goes along with. */
  async #request(first: Reply | undefined): Promise<{ reply: Reply; plan: TakenPlan | { kind: 'complete' } }> {
    const { context, part } = this.#options
    const disk: OnDisk = {
      bytes: part.writer.bytes,
      total: this.#total,
      version: this.#version,
      checked: this.#checked,
      fresh: this.resumedFrom === 0 && (this.#total !== undefined || this.#pieces),
    }
    const tooMuch = disk.total !== undefined && disk.bytes > disk.total
    const ranges = first === undefined && !tooMuch ? rangeRequests(disk) : []
    if (ranges.length > 0 && disk.total !== undefined && this.#inSegments) {
      this.#first = this.#map.claim(disk.bytes, disk.total)
      const { to } = this.#first
      if (to < disk.total) for (const range of ranges) range.to = to
    }
    for (;;) {
      const range = ranges.shift()
      const reply = first ?? (await this.#open(range))
      if (reply === 'moved') {
        this.#endFirst()
        return this.#request(undefined)
      }
      if (reply === undefined) continue
      const plan = planResume(reply, disk, range)
      if (plan.kind === 'append' || plan.kind === 'complete') return { reply, plan }
      if (plan.kind === 'restart' && !(plan.same && ranges.length > 0)) return { reply, plan }
      reply.stop(new Error('not needed'))
      if (plan.kind === 'restart') continue
      if (range === undefined) {
        if (reply.status === 416) throw statusFailure(416, reply.headers, reply.url)
        throw new FleetError('RESUME_FAILED', `the server does not send what it is asked for: ${plan.why}`)
      }
      context.log.warn(`an answer could not be used: ${plan.why}`)
      if (plan.changed) ranges.length = 0
    }
  }

  /** @returns undefined when the server refuses ranges, `moved` when another address is used from here on */
  async #open(range: RangeRequest | undefined): Promise<Reply | 'moved' | undefined> {
    const { source, context } = this.#options
    try {
      return await source.open(range)
    } catch (error) {
      if (range !== undefined && REFUSED_RANGE.test(codeOf(error)) && error instanceof UnrecoverableError) {
        context.log.warn(`the server refuses a range: ${error.message}`)
        return undefined
      }
      await this.#leaveAddress(error)
      return 'moved'
    }
  }

  /** @throws what the attempt ends with, when this is the last address */
  async #leaveAddress(failure: unknown): Promise<void> {
    const { source, context } = this.#options
    source.leave(failure)
    context.log.warn(`going on with ${shown(source.url)} after ${codeOf(failure)}`)
    await this.#endSegments()
    this.#mixed = this.#have > 0
    // Servers have validators of their own. With a checksum, the end shows whether the bytes belong together.
    if (this.#checked) this.#version = {}
  }

  async #restart(digest: Checksums): Promise<void> {
    await this.#leaveSegments()
    if (this.#options.part.writer.bytes > 0) {
      this.#restarts++
      if (++this.#restartsHere > MOST_RESTARTS_OF_ATTEMPT)
        throw new FleetError('RESUME_FAILED', 'the server makes the download start again and again')
    }
    await this.#forget(digest)
  }

  async #leaveSegments(): Promise<void> {
    this.#freeSpace?.()
    this.#freeSpace = undefined
    await this.#endSegments()
    this.#map = new SegmentMap()
    this.#inSegments = false
    this.#first = undefined
  }

  async #forget(digest: Checksums): Promise<void> {
    await this.#options.part.writer.restart(algorithmsOf(digest, this.#options.request.checksums))
    this.#digest = digest
    this.#fetchedSinceRestart = 0
    this.#version = {}
    this.#total = undefined
    this.#mixed = false
  }

  /** Returns when the next try may begin. @throws what ended the last one, unless it was the connection and brought bytes */
  async #goOnAfter(error: unknown): Promise<void> {
    const { part, context } = this.#options
    const gained = this.#have - this.#furthest
    const broken = BREAKS.has(codeOf(error)) && !(error instanceof UnrecoverableError)
    if (!broken || context.signal.aborted) throw error
    this.#smallGains = gained < SMALL_GAIN ? this.#smallGains + 1 : 0
    if (gained <= 0 || this.#smallGains > MOST_SMALL_GAINS) {
      this.#smallGains = 0
      return this.#leaveAddress(error)
    }
    context.log.info(`going on after ${codeOf(error)} at byte ${part.writer.bytes}`)
    if (this.#smallGains > 0)
      await sleep(FIRST_PAUSE_MS * 2 ** (this.#smallGains - 1), undefined, { signal: context.signal })
  }

  /** Lets one answer's body into the part file. */
  async #take(reply: Reply, plan: TakenPlan): Promise<void> {
    const { context, request, owner, part } = this.#options
    const { writer } = part
    if (plan.kind === 'append') {
      context.log.info(`resumed at byte ${writer.bytes} of ${plan.total ?? 'an unknown number'}`)
    } else {
      if (writer.bytes > 0) {
        const why = plan.same ? 'the server ignored the range' : 'the file changed on the server'
        context.log.info(`starting again from the first byte: ${why}`)
      }
    }
    try {
      if (plan.kind === 'restart') {
        await this.#restart(serverChecksum(reply.headers))
        this.#version = plan.version
      }
      this.#total = plan.total
      this.#checkTotal(plan.total)
      if (plan.total !== undefined) {
        const { total } = plan
        this.#freeSpace ??= await reserveSpace(
          owner.folder,
          () => (this.#total ?? total) - this.#have,
          this.#options.keepFree,
        )
        this.#first ??= this.#map.claim(writer.bytes, plan.total)
        this.#maySplit(reply, plan.total)
      }
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

  /** From here on there may be more connections, if that helps. */
  #maySplit(reply: Reply, total: number): void {
    const { request, part, context, source } = this.#options
    const { writer } = part
    const allowed = request.connections > 1 && this.resumable && !/\bnone\b/i.test(reply.headers['accept-ranges'] ?? '')
    // After a server has thrown one download away, it is not given more to do.
    const worth = total - this.#have >= LEAST_FOR_SEGMENTS && this.#restartsHere === 0
    if (this.#connections !== undefined || !allowed || !worth) return
    this.#connections = new Connections({
      map: this.#map,
      source: (signal) => source.until(signal),
      origin: source.url.origin,
      total,
      version: this.#version,
      checked: this.#checked,
      most: request.connections,
      signal: context.signal,
      front: () => writer.bytes,
      received: () => this.fetched,
      onReceived: (count) => {
        this.#received(count)
        this.#saveIfDue()
      },
      writer: (segment, onWritten) => part.segment(segment, onWritten),
      prepare: () => this.#storeInSegments(),
      log: (message) => context.log.info(message),
    })
  }

  /** Once the part may have holes, its checkpoint must say so: its length would mean other bytes. */
  async #storeInSegments(): Promise<boolean> {
    if (this.#savedAt === undefined || !this.#options.part.writer.begun) return false
    this.#inSegments = true
    try {
      await this.save()
      return true
    } catch (error) {
      this.#options.context.log.warn(`the checkpoint was not stored, so there is one connection: ${error}`)
      return false
    }
  }

  async #pump(reply: Reply): Promise<void> {
    const { writer } = this.#options.part
    const first = this.#first
    const watch = this.#watchRate(reply)
    this.#stopReply = (failure) => reply.stop(failure)
    writer.onFailure = this.#stopReply
    const room = () => (first === undefined ? Number.POSITIVE_INFINITY : first.to - writer.bytes)
    const take = (count: number, into: () => boolean): boolean => {
      this.#checkTotal(writer.bytes + count)
      const flowing = into()
      if (!flowing) watch?.hold()
      relieveReadBuffers(count)
      this.#received(count)
      this.#saveIfDue()
      if (first !== undefined) {
        first.at = writer.bytes
        // What follows comes, or came, over another connection.
        if (first.at >= first.to && first.to !== this.#total) reply.stop(FOLLOWS)
      }
      return flowing
    }
    const sink: Sink = {
      onDrain: () => {},
      write: (chunk) => {
        const wanted = first === undefined || first.to === this.#total ? chunk : chunk.subarray(0, room())
        return take(wanted.length, () => writer.write(wanted))
      },
      direct: {
        space: () => (room() > 0 ? writer.space().subarray(0, room()) : undefined),
        filled: (count) => take(count, () => writer.filled(count)),
      },
    }
    writer.onDrain = () => {
      watch?.open()
      sink.onDrain()
    }
    try {
      await reply.pipe(sink)
    } catch (error) {
      if (error !== FOLLOWS) throw error
    } finally {
      watch?.stop()
    }
  }

  #received(count: number): void {
    this.fetched += count
    this.#fetchedSinceRestart += count
    this.#report()
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
      done: this.#have,
      unit: 'bytes',
      ...(total !== undefined && { total }),
    })
  }

  /** A checkpoint that could not be stored costs a later attempt some bytes; a lost lease or a full disk ends this one. */
  #saveIfDue(): void {
    // Before it is stored by `#begin`, the part file may not be this attempt's.
    if (this.#saving || this.#savedAt === undefined || !this.#options.part.writer.begun) return
    if (performance.now() - this.#savedAt <= SAVE_EVERY_MS) return
    this.#saving = true
    checkFree(this.#options.owner.folder, this.#options.keepFree)
      .then(() => this.save())
      .catch((error: unknown) => {
        if (FINAL.has(codeOf(error)) && error instanceof Error) {
          this.#ended = error
          this.#stopReply(error)
        } else this.#options.context.log.warn(`the checkpoint was not stored: ${error}`)
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

const FOLLOWS = new Error('the next bytes come over another connection')

/** Without what is undefined, which MongoDB would store as null. */
const defined = <T extends object>(fields: T): { [K in keyof T]?: Exclude<T[K], undefined> } =>
  Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as never

type TakenPlan = Extract<ResumePlan, { kind: 'append' | 'restart' }>

const wrongSize = (expected: number, found: number | undefined) =>
  new UnrecoverableError('LENGTH_MISMATCH', `the file should have ${expected} bytes, and the server's has ${found}`)
