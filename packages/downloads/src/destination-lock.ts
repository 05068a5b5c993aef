import { constants } from 'node:fs'
import { type FileHandle, link, open, readFile, rename } from 'node:fs/promises'
import { join } from 'node:path'
import { UnrecoverableError } from '@taskfleet/protocol'
import { removeIfThere, statOf } from './destination.ts'
import { codeOf, diskFailure } from './failures.ts'

export interface LockOptions {
  folder: string
  name: string
  taskId: string
  leaseId: string
  staleMs: number
}

export interface DestinationLock {
  /** When it was made, by the file system's clock, in milliseconds. */
  readonly now: number
  release(): Promise<void>
}

/**
 * Keeps a second task from working on the same destination. It only saves wasted work: bytes are kept apart by part files of
 * their own and by the way the file gets its name. Its age is told by the file system's clock, since hosts' clocks differ.
 * @throws {UnrecoverableError} `DEST_BUSY`
 */
export async function lockDestination(options: LockOptions): Promise<DestinationLock> {
  const { folder, name, taskId, leaseId, staleMs } = options
  const path = join(folder, `.${name}.download-lock`)
  const mine = join(folder, `.${name}.${leaseId}.download-lock`)
  const handle = await createOwn(mine, taskId)
  try {
    const { mtimeMs: now, ino } = await handle.stat()
    await takePlace(mine, path, async () => {
      const [holder, found] = await Promise.all([readFile(path, 'utf8').catch(() => ''), statOf(path)])
      if (!found || holder === taskId || now - found.mtimeMs > staleMs) return
      throw new UnrecoverableError('DEST_BUSY', `${name} is being downloaded by task ${holder.slice(0, 24)}`)
    })
    const renewal = setInterval(() => void handle.write(taskId, 0).catch(() => undefined), staleMs / 3)
    renewal.unref()
    return {
      now,
      async release() {
        clearInterval(renewal)
        const current = await statOf(path)
        await handle.close()
        // A later attempt has put its own lock in this place.
        if (current?.ino === ino) await removeIfThere(path)
      },
    }
  } catch (error) {
    await handle.close()
    await removeIfThere(mine)
    throw error
  }
}

async function createOwn(path: string, taskId: string): Promise<FileHandle> {
  try {
    const { O_CREAT, O_RDWR, O_TRUNC, O_NOFOLLOW } = constants
    const handle = await open(path, O_CREAT | O_RDWR | O_TRUNC | O_NOFOLLOW, 0o644)
    await handle.write(taskId, 0)
    return handle
  } catch (error) {
    throw diskFailure(error, path)
  }
}

/** Moves `mine` to `path` when that is free, or when `mayReplace` does not object to the one that is there. */
async function takePlace(mine: string, path: string, mayReplace: () => Promise<void>): Promise<void> {
  try {
    await link(mine, path)
    await removeIfThere(mine)
  } catch (error) {
    // EEXIST, or a file system without links: there, two tasks that start in the same moment both go on, and the
    // destination still gets the bytes of one of them only.
    if (!['EEXIST', 'EPERM', 'ENOTSUP', 'EOPNOTSUPP'].includes(codeOf(error))) throw diskFailure(error, path)
    await mayReplace()
    await rename(mine, path)
  }
}
