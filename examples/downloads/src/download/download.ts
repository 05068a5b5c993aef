import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { realpath } from 'node:fs/promises'
import { join } from 'node:path'
import { FleetError, UnrecoverableError } from '@taskfleet/protocol'
import type { HandlerContext, TaskDefinition } from '@taskfleet/worker'
import {
  type DownloadInput,
  type DownloadOptions,
  type DownloadOutput,
  type DownloadState,
  downloadInput,
} from './contract.ts'
import { checkDestination, checkRoot, publish, statOf } from './destination.ts'
import { lockDestination } from './destination-lock.ts'
import { codeOf, leaseLost, shown } from './failures.ts'
import { nameFromServer } from './file-name.ts'
import { type HashThreads, hashThreads } from './hash-threads.ts'
import { httpSource } from './http-source.ts'
import { type PartFile, type PartOwner, removeLeftovers, removePart, takeOverPart } from './part-file.ts'
import { type DownloadRequest, readRequest, readState } from './request.ts'
import { Transfer } from './transfer.ts'

const DEFAULTS = { stallMs: 30_000, connectTimeoutMs: 10_000, flushBytes: 256 * 2 ** 20, lockStaleMs: 30_000 }

type Settings = DownloadOptions & typeof DEFAULTS
type Context = HandlerContext<DownloadInput>

/** The definition of the `download` task, ready for `defineTask`. */
export function downloadDefinition(options: DownloadOptions) {
  return {
    name: 'download',
    version: 1,
    ...createDownload(options),
    retry: { maxAttempts: 5, backoff: { base: '1s', factor: 2, cap: '1m', jitter: true } },
    timeout: '2h',
  } satisfies TaskDefinition<typeof downloadInput, DownloadOutput>
}

/**
 * Downloads a URL to a file under `options.root`: resumed with `Range` after a crash or on another host, hashed on the way,
 * and under its name only when it is complete. Each way to fail has a code of its own.
 */
export function createDownload(options: DownloadOptions, threads: HashThreads = hashThreads) {
  const settings: Settings = { ...DEFAULTS, ...options }
  return {
    input: downloadInput,
    title: ({ url, file }: DownloadInput): string => file ?? nameFromServer(undefined, new URL(url)),
    labels: ({ url }: DownloadInput) => ({ origin: new URL(url).host }),
    run: (context: Context): Promise<DownloadOutput> => download(context, settings, threads),
  }
}

async function download(context: Context, settings: Settings, threads: HashThreads): Promise<DownloadOutput> {
  const started = performance.now()
  const seconds = () => (performance.now() - started) / 1000
  const { task, signal } = context
  const check = async () => {
    if (signal.aborted) throw signal.reason
    await task.proven()
  }

  const request = readRequest(context.input, settings)
  const folder = await checkRoot(settings.root)
  const previous = readState(context.checkpoint.state, request)
  const source = httpSource(request.url, request.headers, settings, signal)
  const known = request.name ?? previous?.file
  // Without a name of the caller's, only the server's answer tells where the file goes.
  const first = known === undefined ? await source.open() : undefined
  try {
    const name = known ?? nameFromServer(first?.headers['content-disposition'], first?.url ?? request.url)
    const owner: PartOwner = { folder, name, taskId: task.id, leaseId: task.leaseId }
    await check()
    const lock = await lockDestination({ ...owner, staleMs: settings.lockStaleMs })
    try {
      const before = await publishedBefore(owner, previous)
      if (before && previous) {
        context.log.info(`an earlier attempt had finished ${name}`)
        await removePart(owner, previous.part)
        return { ...before, seconds: seconds() }
      }
      await checkDestination(join(folder, name), request.overwrite)

      context.log.info(`downloading ${shown(request.url)} to ${name}`)
      const flushBytes = settings.flushBytes
      const part = await takeOverPart(owner, previous?.part, { check, task, flushBytes, threads })
      const transfer = new Transfer({
        ...{ owner, part, source, request, context },
        ...{ stallMs: settings.stallMs, minBytesPerSecond: settings.minBytesPerSecond },
        previous: part.writer.bytes > 0 ? previous : undefined,
      })
      try {
        if (part.writer.bytes > 0) await transfer.save()
        if (task.attempt > 1) await removeLeftovers(owner)
        await transfer.fetchRest(first)
        const sha256 = await verified(part, transfer, request)
        await check()
        // Stored first, so that an attempt after a crash right behind the next line knows the file for its own.
        await transfer.save(sha256)
        await confirmOwned(context, part, folder)
        await check()
        await publish(part.path, join(folder, name), request.overwrite)
        context.log.info(`${name} is complete: ${part.writer.bytes} bytes, SHA-256 ${sha256}`)
        const { fetched, resumedFrom } = transfer
        return { file: name, bytes: part.writer.bytes, sha256, fetchedBytes: fetched, seconds: seconds(), resumedFrom }
      } catch (error) {
        const reason: unknown = signal.aborted ? signal.reason : error
        await letGo(part, reason, task.owned, settings.keepPartial ?? false)
        throw reason
      } finally {
        await part.abandon()
      }
    } finally {
      await lock.release().catch((error: unknown) => context.log.warn(`the lock on ${name} was not released: ${error}`))
    }
  } finally {
    first?.stop(new Error('the download has ended'))
  }
}

/** The output of an attempt that gave the file its name and could not report it any more. */
async function publishedBefore({ folder, name }: PartOwner, state: DownloadState | undefined) {
  if (state?.sha256 === undefined) return undefined
  const path = join(folder, name)
  const found = await statOf(path)
  if (!found?.isFile() || found.size !== state.bytes) return undefined
  const hash = createHash('sha256')
  for await (const chunk of createReadStream(path, { highWaterMark: 2 ** 20 })) hash.update(chunk)
  if (hash.digest('hex') !== state.sha256) return undefined
  return { file: name, bytes: state.bytes, sha256: state.sha256, fetchedBytes: 0, resumedFrom: state.bytes }
}

async function verified(part: PartFile, transfer: Transfer, request: DownloadRequest): Promise<string> {
  const sha256 = await part.writer.finish()
  if (request.sha256 === undefined || request.sha256 === sha256) return sha256
  const message = `SHA-256 of ${shown(request.url)} is ${sha256}, and ${request.sha256} was expected`
  // Bytes of an earlier attempt may be at fault, so those are worth a fresh start.
  throw new (transfer.resumedFrom > 0 ? FleetError : UnrecoverableError)('CHECKSUM_MISMATCH', message)
}

async function confirmOwned({ task }: Context, part: PartFile, folder: string): Promise<void> {
  if ((await realpath(folder).catch(() => undefined)) !== folder) throw new FleetError('NO_ROOT', `${folder} is gone`)
  if (!(await part.stillOurs()) || !(await task.confirmOwned())) throw leaseLost(part.path)
}

/**
 * What becomes of the part file when an attempt ends early: it stays for the next one, unless there will be none or its
 * bytes are wrong. With the lease lost nothing is touched: it is the new owner's now.
 */
async function letGo(part: PartFile, reason: unknown, owned: boolean, keepPartial: boolean): Promise<void> {
  const code = codeOf(reason)
  if (!owned || code === 'LEASE_LOST') return part.abandon()
  const wrong = code === 'CHECKSUM_MISMATCH' || code === 'TOO_LARGE'
  const ended = code === 'CANCELLED' || reason instanceof UnrecoverableError
  if (wrong || (ended && !keepPartial)) return part.remove()
  await part.writer.settle().catch(() => undefined)
  await (part.writer.written > 0 ? part.release() : part.remove())
}
