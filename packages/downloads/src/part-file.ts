import { constants } from 'node:fs'
import { type FileHandle, open, readdir, rename, statfs } from 'node:fs/promises'
import { join } from 'node:path'
import { removeIfThere, statOf } from './destination.ts'
import { codeOf, diskFailure, leaseLost } from './failures.ts'
import { PartWriter, type PartWriterOptions } from './part-writer.ts'
import type { Segment, Span } from './segment-map.ts'
import { SpanWriter } from './span-writer.ts'

const { O_RDWR, O_RDONLY, O_CREAT, O_EXCL, O_NOFOLLOW } = constants

export interface PartOwner {
  folder: string
  /** The destination's name. */
  name: string
  taskId: string
  leaseId: string
}

/**
 * Where one attempt's bytes are. The name carries task and lease, and only the attempt with that lease writes to it:
 * - `NAME.TASK.LEASE.part`: its attempt may still hold it open;
 * - `NAME.TASK.LEASE.idle.part`: its attempt has closed it, so the next one renames it and goes on in the same file;
 * - `NAME.TASK.LEASE.taken.part`: its attempt never closed it. It may be dead, or stopped in the middle of a write and wake
 *   later, so the next one copies: a late write ends in a file that nobody reads any more.
 */
const partPath = ({ folder, name, taskId }: PartOwner, lease: string, state: '' | '.idle' | '.taken') =>
  join(folder, `${name}.${taskId}.${lease}${state}.part`)

export interface PartFile {
  readonly path: string
  readonly writer: PartWriter
  /** What of an earlier attempt it has behind the bytes of the writer. */
  readonly ahead: readonly Span[]
  /** Whether it has bytes that a later attempt could add to. */
  readonly worthKeeping: boolean
  /** Writes a segment behind the bytes of the writer. @param onWritten called when the operating system has these bytes */
  segment(segment: Segment, onWritten: (from: number, to: number) => void): SpanWriter
  /** Hands the writer what is on the disk behind its bytes, up to `to`. */
  absorb(to: number): Promise<void>
  /** Whether the name still leads to the file that we have open. */
  stillOurs(): Promise<boolean>
  /** Closes it and leaves it to the next attempt. */
  release(): Promise<void>
  /** Closes it and leaves it alone: somebody else may own it. */
  abandon(): Promise<void>
  remove(): Promise<void>
}

type Checks = Omit<PartWriterOptions, 'path'> & {
  /** Waits until it is proved that the task is ours, and throws when the attempt was aborted; asked for every block that is read back. */
  check(): Promise<void>
  /** Called with the number of bytes that were read back. */
  onRead(bytes: number): void
}

/** The part that an earlier attempt has left. */
export interface EarlierPart {
  lease: string
  /** What is good in it, when its length does not tell. */
  layout?: { bytes: number; ahead: readonly Span[] } | undefined
}

/**
 * An empty part, or one with all bytes of the attempt before, read back into the hash. Until there is a byte to add, a part of an earlier
 * attempt stays that one's: an attempt that brings nothing leaves everything as it was, so the stored checkpoint still fits.
 */
export async function takeOverPart(
  owner: PartOwner,
  earlier: EarlierPart | undefined,
  checks: Checks,
): Promise<PartFile> {
  const path = partPath(owner, owner.leaseId, '')
  try {
    const previous = earlier?.lease !== owner.leaseId ? earlier : undefined
    const found =
      previous === undefined
        ? undefined
        : ((await adopt(owner, previous, checks)) ?? (await copy(owner, previous, checks)))
    const part = found ?? partFile(owner, await create(path), checks)
    part.writer.holdUntilBegun()
    return part
  } catch (error) {
    throw diskFailure(error, path)
  }
}

const create = (path: string) => open(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0o644)

/** Goes on in a file that its attempt has closed. It keeps its name until a byte is added, so that a crash before loses nothing. */
async function adopt(owner: PartOwner, { lease, layout }: EarlierPart, checks: Checks): Promise<PartFile | undefined> {
  const idle = partPath(owner, lease, '.idle')
  const handle = await opened(idle, O_RDWR)
  if (!handle) return undefined
  const { bytes, ahead } = goodBytes((await handle.stat()).size, layout)
  const part = partFile(owner, handle, checks, { claimedFrom: idle, left: idle, ahead })
  try {
    await readBack(handle, { from: 0, to: bytes }, checks, (chunk) => part.writer.absorb(chunk))
    return part
  } catch (error) {
    await part.abandon()
    throw error
  }
}

/** Copies a file that somebody may still have open. Its name is changed first: its attempt can't publish it from here on. */
async function copy(owner: PartOwner, { lease, layout }: EarlierPart, checks: Checks): Promise<PartFile | undefined> {
  const taken = partPath(owner, lease, '.taken')
  await moved(partPath(owner, lease, ''), taken)
  const source = await opened(taken, O_RDONLY)
  if (!source) return undefined
  try {
    const path = partPath(owner, owner.leaseId, '')
    const { bavail, bsize } = await statfs(owner.folder)
    // What a late write adds from here on is left out.
    const { bytes, ahead } = goodBytes((await source.stat()).size, layout)
    if ([{ from: 0, to: bytes }, ...ahead].reduce((sum, { from, to }) => sum + to - from, 0) > bavail * bsize) {
      await removeIfThere(taken)
      return undefined
    }
    const handle = await create(path)
    const part = partFile(owner, handle, checks, { left: partPath(owner, lease, '.idle'), copied: taken, ahead })
    try {
      await readBack(source, { from: 0, to: bytes }, checks, async (chunk) => {
        if (!part.writer.write(chunk)) await part.writer.idle()
      })
      await part.writer.settle()
      for (const span of ahead) {
        await readBack(source, span, checks, async (chunk, at) => void (await handle.writev([chunk], at)))
      }
      return part
    } catch (error) {
      await part.abandon()
      await removeIfThere(path)
      throw error
    }
  } finally {
    await source.close()
  }
}

/** Without a layout, the length of a part tells. */
function goodBytes(size: number, layout: EarlierPart['layout']): { bytes: number; ahead: Span[] } {
  if (layout === undefined) return { bytes: size, ahead: [] }
  const ahead = layout.ahead.filter(({ to }) => to <= size)
  return { bytes: Math.min(size, layout.bytes), ahead }
}

async function readBack(
  handle: FileHandle,
  { from, to }: Span,
  { check, onRead, threads }: Checks,
  take: (chunk: Buffer, at: number) => Promise<void>,
): Promise<void> {
  const block = threads.takeBlock()
  try {
    for (let at = from; at < to; ) {
      await check()
      const { bytesRead } = await handle.read(block, 0, Math.min(block.length, to - at), at)
      if (bytesRead === 0) return
      await take(block.subarray(0, bytesRead), at)
      at += bytesRead
      onRead(at)
    }
  } finally {
    threads.giveBack(block)
  }
}

/** `undefined` for what is missing, is no regular file, or has a second name, under which our writes would show. */
async function opened(path: string, flags: number): Promise<FileHandle | undefined> {
  const handle = await open(path, flags | O_NOFOLLOW).catch((error: unknown) => {
    if (['ENOENT', 'ELOOP'].includes(codeOf(error))) return undefined
    throw error
  })
  const stats = await handle?.stat()
  if (stats?.isFile() && (flags === O_RDONLY || stats.nlink === 1)) return handle
  await handle?.close()
  return undefined
}

async function moved(from: string, to: string): Promise<boolean> {
  return rename(from, to).then(
    () => true,
    (error: unknown) => {
      if (codeOf(error) === 'ENOENT') return false
      throw error
    },
  )
}

/** How a part of an earlier attempt becomes this one's, or goes back. */
interface Unclaimed {
  /** Its name until it is claimed; without one it is a copy, which has its own. */
  claimedFrom?: string
  /** Its name when it is left unclaimed. */
  left: string
  /** What it was copied from. */
  copied?: string
  /** What it has behind its first hole. */
  ahead: readonly Span[]
}

function partFile(owner: PartOwner, handle: FileHandle, checks: Checks, unclaimed?: Unclaimed): PartFile {
  const path = partPath(owner, owner.leaseId, '')
  const writer = new PartWriter(handle, { ...checks, path })
  let claimed = unclaimed === undefined
  writer.onClaim = async () => {
    const from = unclaimed?.claimedFrom
    if (!claimed && from !== undefined && !(await moved(from, path))) throw leaseLost(from)
    claimed = true
  }
  const close = async () => {
    await writer.close()
    if (handle.fd >= 0) await handle.close()
  }
  return {
    path,
    writer,
    ahead: unclaimed?.ahead ?? [],
    segment: (segment, onWritten) => new SpanWriter(segment, { ...checks, handle, path }, onWritten),
    absorb: async (to) => {
      await writer.settle()
      await readBack(handle, { from: writer.bytes, to }, { ...checks, onRead: () => {} }, (chunk) =>
        writer.absorb(chunk),
      )
    },
    get worthKeeping() {
      return writer.hasBytes
    },
    stillOurs: async () => {
      const [open, named] = await Promise.all([handle.stat(), statOf(path)])
      return named?.isFile() === true && named.ino === open.ino && named.dev === open.dev
    },
    release: async () => {
      await close()
      if (claimed) await moved(path, partPath(owner, owner.leaseId, '.idle'))
      else if (unclaimed && unclaimed.claimedFrom === undefined) {
        await moved(path, unclaimed.left)
        if (unclaimed.copied !== undefined) await removeIfThere(unclaimed.copied)
      }
    },
    abandon: close,
    remove: async () => {
      await close()
      await removeIfThere(path)
      if (unclaimed && !claimed) await removeIfThere(unclaimed.copied ?? unclaimed.left)
    },
  }
}

/** Removes the part of one earlier attempt, whatever became of it. */
export async function removePart(owner: PartOwner, lease: string): Promise<void> {
  await Promise.all((['', '.idle', '.taken'] as const).map((state) => removeIfThere(partPath(owner, lease, state))))
}

/**
 * Removes what earlier attempts of this task have left beside the destination. Should this attempt have been stopped and
 * wake late, then what came after it is younger than its own part, and stays.
 */
export async function removeLeftovers(owner: PartOwner): Promise<void> {
  const { folder, name, taskId, leaseId } = owner
  const own = await statOf(partPath(owner, leaseId, ''))
  if (!own) return
  const start = `${name}.${taskId}.`
  for (const file of await readdir(folder)) {
    if (!file.startsWith(start) || !file.endsWith('.part') || file.startsWith(`${start}${leaseId}.`)) continue
    const path = join(folder, file)
    const found = await statOf(path)
    if (found && (file.endsWith('.taken.part') || found.ctimeMs < own.ctimeMs)) await removeIfThere(path)
  }
}
