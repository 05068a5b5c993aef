import { realpath } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { filledName } from '@taskfleet/download-contract/internal'
import { AttemptAborted, FleetError, RetryAfterError, UnrecoverableError } from '@taskfleet/protocol'
import type { HandlerContext, TaskDefinition } from '@taskfleet/worker'
import { writeChecksumFile } from './checksum-file.ts'
import { algorithmsOf, wrongChecksum } from './checksums.ts'
import { chooseDestination, publishFirstFree } from './choose-destination.ts'
import {
  DOWNLOAD_ATTEMPTS,
  type DownloadInput,
  type DownloadOptions,
  type DownloadOutput,
  downloadContract,
  downloadInput,
} from './contract.ts'
import { checkRoot, publish } from './destination.ts'
import { diskId } from './disk-id.ts'
import { codeOf, leaseLost, shown } from './failures.ts'
import { makeFolder } from './folder.ts'
import { type HashThreads, hashThreads } from './hash-threads.ts'
import type { Reply } from './http-exchange.ts'
import { httpSource } from './http-source.ts'
import { Mirrors } from './mirrors.ts'
import { OriginGate } from './origin-gate.ts'
import { OriginLimits } from './origin-limits.ts'
import { type PartFile, removePart, takeOverPart } from './part-file.ts'
import { type DownloadRequest, layoutOf, readRequest, readState } from './request.ts'
import { nameFromServer } from './server-name.ts'
import { sweepParts } from './sweep.ts'
import { Transfer } from './transfer.ts'
import { postDownloaded } from './webhook.ts'

const DEFAULTS = {
  stallMs: 30_000,
  connectTimeoutMs: 10_000,
  flushBytes: 256 * 2 ** 20,
  lockStaleMs: 30_000,
  keepPartsMs: 30 * 86_400_000,
}

type Settings = DownloadOptions & typeof DEFAULTS
type Context = HandlerContext<DownloadInput>

/**
 * The definition of the `download` task, ready for `defineTask`. A failed attempt that brought bytes costs nothing, so a download of any
 * length ends well as long as it gets further.
 */
export function downloadDefinition(options: DownloadOptions) {
  return {
    name: downloadContract.name,
    version: downloadContract.version,
    ...createDownload(options),
    retry: {
      maxAttempts: DOWNLOAD_ATTEMPTS,
      counts: 'without-progress',
      backoff: { base: '1s', factor: 2, cap: '10m', jitter: true },
    },
    // For the worker's report of the free space. Each download counts on its own room, by its size.
    disk: { folder: resolve(options.root), minFree: 0 },
    // Hosts with a disk each: the one that has the bytes goes on with them. Hosts that share the folder are at one place.
    prefer: { place: () => diskId(options.root), checkpoint: options.waitForDisk ?? '2m' },
    // Longer than `stallMs`, which watches over the server: a disk or a lease in doubt may hold an attempt up.
    stall: '15m',
  } satisfies TaskDefinition<typeof downloadInput, DownloadOutput>
}

/**
 * Downloads a URL to a file under `options.root`: resumed with `Range` after a crash or on another host, hashed on the way,
 * and under its name only when it is complete. Each way to fail has a code of its own.
 */
export function createDownload(options: DownloadOptions, threads: HashThreads = hashThreads) {
  const settings: Settings = { ...DEFAULTS, ...options }
  const gate = new OriginGate()
  const limits = new OriginLimits(options.limits)
  return {
    input: downloadInput,
    title: (input: DownloadInput): string => downloadContract.title!(input),
    labels: (input: DownloadInput) => downloadContract.labels!(input),
    files: {
      root: settings.root,
      path: ({ file }: DownloadOutput) => file,
      size: ({ bytes }: DownloadOutput) => bytes,
      shared: settings.sharedRoot === true,
    },
    run: async (context: Context): Promise<DownloadOutput> => {
      const output = await download(context, settings, threads, { gate, limits })
      await doAfter(context, settings, output)
      return output
    },
  }
}

async function download(
  context: Context,
  settings: Settings,
  threads: HashThreads,
  { gate, limits }: { gate: OriginGate; limits: OriginLimits },
): Promise<DownloadOutput> {
  const started = performance.now()
  const seconds = () => (performance.now() - started) / 1000
  const { task, signal } = context
  const check = async () => {
    if (signal.aborted) throw signal.reason
    await task.proven()
  }

  const request = readRequest(context.input, settings)
  const folder = await makeFolder(await checkRoot(settings.root), request.folder)
  const inRoot = (file: string) => [...request.folder, file].join('/')
  const previous = readState(context.checkpoint.state, request)
  const exchanges = { ...settings, limits, proxyOf: request.proxyOf }
  const source = new Mirrors([request.url, ...request.mirrors], (url, until) => {
    // Any header may hold a secret: a mirror elsewhere gets none.
    const headers = url.origin === request.url.origin ? request.headers : {}
    return httpSource(url, headers, exchanges, until ?? signal, until ? undefined : gate)
  })
  const known = request.name ?? previous?.file
  // Without a name of the caller's, only the server's answer tells where the file goes.
  const first = known === undefined ? await openFirst(source) : undefined
  try {
    const name = known ?? nameOf(request, task.id, first)
    await check()
    const report = (done: number) => context.progress({ done, unit: 'bytes' })
    const destination = await chooseDestination({
      owner: { folder, name, taskId: task.id, leaseId: task.leaseId },
      ...{ request, previous, staleMs: settings.lockStaleMs },
      check: async (done) => {
        await check()
        report(done)
      },
    })
    if ('found' in destination) {
      const { file, found, ofEarlierAttempt } = destination
      context.log.info(ofEarlierAttempt ? `an earlier attempt had finished ${file}` : `${file} is there already`)
      if (previous)
        await removePart({ folder, name: previous.file, taskId: task.id, leaseId: task.leaseId }, previous.part)
      return { file: inRoot(file), ...found, fetchedBytes: 0, seconds: seconds(), resumedFrom: found.bytes }
    }
    const { owner, lock } = destination
    try {
      await sweepParts(folder, settings.keepPartsMs, lock.now).then(
        (names) => names.length > 0 && context.log.info(`removed what was left behind long ago: ${names.join(', ')}`),
        (error: unknown) => context.log.warn(`what was left behind long ago could not be removed: ${error}`),
      )
      context.log.info(`downloading ${shown(request.url)} to ${owner.name}`)
      const flushBytes = settings.flushBytes
      const earlier = previous?.file === owner.name ? { lease: previous.part, layout: layoutOf(previous) } : undefined
      const part = await takeOverPart(owner, earlier, {
        ...{ check, onRead: report, task, flushBytes, threads },
        algorithms: algorithmsOf(request.checksums, previous?.digest ?? {}),
      })
      const transfer = new Transfer({
        ...{ owner, part, source, request, context, previous },
        ...{
          stallMs: settings.stallMs,
          minBytesPerSecond: settings.minBytesPerSecond,
          keepFree: settings.keepFreeBytes,
        },
      })
      try {
        const sha256 = await fetchVerified(part, transfer, request, first)
        const file = await publishFirstFree(owner.name, request, async (file) => {
          await check()
          // Stored first, so that an attempt after a crash right behind the next lines knows the file for its own.
          await transfer.save(sha256, file)
          await confirmOwned(context, part, folder)
          await check()
          await publish(part.path, join(folder, file), request.expect === 'overwrite')
        })
        context.log.info(`${file} is complete: ${part.writer.bytes} bytes, SHA-256 ${sha256}`)
        const { fetched, resumedFrom } = transfer
        return {
          file: inRoot(file),
          bytes: part.writer.bytes,
          sha256,
          fetchedBytes: fetched,
          seconds: seconds(),
          resumedFrom,
        }
      } catch (error) {
        const reason: unknown = signal.aborted ? signal.reason : finalIfHopeless(error, transfer)
        await letGo(part, transfer, reason, task.owned, settings.keepPartial ?? false)
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

/** Belongs to the attempt: if it fails, the next one finds the file and does it again. */
async function doAfter({ input, task, signal }: Context, settings: Settings, output: DownloadOutput): Promise<void> {
  const { checksumFile = false, webhook } = input.after ?? {}
  const mayGoOn = async () => {
    if (signal.aborted) throw signal.reason
    await task.proven()
  }
  if (checksumFile) {
    await mayGoOn()
    const parts = output.file.split('/')
    const name = parts.pop()!
    const folder = await makeFolder(await checkRoot(settings.root), parts)
    await writeChecksumFile({ folder, name, taskId: task.id, leaseId: task.leaseId }, output.sha256)
  }
  if (webhook !== undefined) {
    await mayGoOn()
    const secret = (settings.webhookSecret ?? process.env.TASKFLEET_WEBHOOK_SECRET) || undefined
    const event = { event: 'downloaded', task: task.id, output } as const
    await postDownloaded(webhook, event, { ...settings, secret, ca: settings.ca, signal })
  }
}

/** The answer of the first address that has one. */
async function openFirst(source: Mirrors): Promise<Reply> {
  for (;;) {
    try {
      return await source.open()
    } catch (error) {
      source.leave(error)
    }
  }
}

/** The name that the server gives the file, or the caller's template with it. */
function nameOf({ template, url }: DownloadRequest, id: string, first: Reply | undefined): string {
  const served = nameFromServer(first?.headers['content-disposition'], first?.url ?? url)
  if (template === undefined) return served
  return filledName(template, { served, host: url.hostname, date: new Date(), id })
}

/** A server from which bytes can't be added to, and which never sends all at once, is not asked for ever. */
function finalIfHopeless(error: unknown, transfer: Transfer): unknown {
  const mayPass =
    error instanceof FleetError &&
    !(error instanceof UnrecoverableError || error instanceof RetryAfterError || error instanceof AttemptAborted)
  if (!mayPass || !transfer.hopeless) return error
  return new UnrecoverableError(error.code, `${error.message}; it began again too often`, { cause: error })
}

/** Wrong bytes are thrown away, and fetched anew as long as there is another address. @returns the SHA-256 */
async function fetchVerified(
  part: PartFile,
  transfer: Transfer,
  request: DownloadRequest,
  first: Reply | undefined,
): Promise<string> {
  for (let next = first; ; next = undefined) {
    await transfer.fetchRest(next)
    await part.writer.begin()
    try {
      return await verified(part, transfer, request)
    } catch (error) {
      if (codeOf(error) !== 'CHECKSUM_MISMATCH') throw error
      await transfer.startOver(error)
    }
  }
}

async function verified(part: PartFile, transfer: Transfer, request: DownloadRequest): Promise<string> {
  const found = await part.writer.finish()
  const wanted = transfer.checksums
  const wrong = wrongChecksum(wanted, found)
  if (wrong === undefined) return found.sha256
  const by = request.checksums[wrong] === undefined ? 'the server announced' : 'it should be'
  const message = `${wrong} of ${shown(request.url)} is ${found[wrong]}, and ${by} ${wanted[wrong]}`
  // Bytes of an earlier attempt may be at fault, so those are worth a fresh start.
  throw new (transfer.resumedFrom > 0 ? FleetError : UnrecoverableError)('CHECKSUM_MISMATCH', message)
}

async function confirmOwned({ task }: Context, part: PartFile, folder: string): Promise<void> {
  if ((await realpath(folder).catch(() => undefined)) !== folder) throw new FleetError('NO_ROOT', `${folder} is gone`)
  if (!(await part.stillOurs()) || !(await task.confirmOwned())) throw leaseLost(part.path)
}

/**
 * What becomes of the part file when an attempt ends early: it stays for the next one, unless there will be none or its
 * bytes are wrong or can't be added to. With the lease lost nothing is touched: it is the new owner's now.
 */
async function letGo(
  part: PartFile,
  transfer: Transfer,
  reason: unknown,
  owned: boolean,
  keepPartial: boolean,
): Promise<void> {
  const code = codeOf(reason)
  if (!owned || code === 'LEASE_LOST') return part.abandon()
  const wrong = transfer.wrong || code === 'CHECKSUM_MISMATCH' || code === 'TOO_LARGE'
  const ended = code === 'CANCELLED' || reason instanceof UnrecoverableError
  const useless = ended || !transfer.resumable
  if (wrong || (useless && !keepPartial)) return part.remove()
  await part.writer.settle().catch(() => undefined)
  // Without it, the next attempt fetches what came since the last one once more.
  if (part.worthKeeping && transfer.inSegments) await transfer.save().catch(() => undefined)
  await (part.worthKeeping ? part.release() : part.remove())
}
