import { constants, type Stats } from 'node:fs'
import { access, link, lstat, open, realpath, rename, unlink } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { FleetError, UnrecoverableError } from '@taskfleet/protocol'
import { codeOf, diskFailure, leaseLost } from './failures.ts'

/**
 * The folder that downloads go to, with no symbolic link left in its path.
 * @throws {FleetError} `NO_ROOT` when it is missing: another host may have it
 * @throws {UnrecoverableError} `BAD_ROOT` when it is a link, the root of the file system, no folder, or not writable
 */
export async function checkRoot(root: string): Promise<string> {
  const path = resolve(root)
  const bad = (what: string, cause?: unknown) =>
    new UnrecoverableError('BAD_ROOT', `download root ${path} ${what}: give a writable folder`, { cause })
  const found = await statOf(path)
  if (!found) throw new FleetError('NO_ROOT', `download root ${path} does not exist on this host: create or mount it`)
  if (path === '/' || !found.isDirectory())
    throw bad(found.isSymbolicLink() ? 'is a symbolic link' : 'is no folder for downloads')
  await access(path, constants.W_OK | constants.X_OK).catch((error: unknown) => {
    throw bad('is not writable', error)
  })
  return realpath(path)
}

/** Without following a link; `undefined` when nothing is there. */
export async function statOf(path: string): Promise<Stats | undefined> {
  try {
    return await lstat(path)
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined
    throw diskFailure(error, path)
  }
}

/** @throws {UnrecoverableError} `DEST_EXISTS` */
export async function checkDestination(path: string, overwrite: boolean): Promise<void> {
  const found = await statOf(path)
  if (!found || (overwrite && found.isFile())) return
  throw exists(
    path,
    found.isFile()
      ? "exists already: set `expect` to 'skip', 'rename' or 'overwrite'"
      : 'exists and is no regular file',
  )
}

const exists = (path: string, what: string) => new UnrecoverableError('DEST_EXISTS', `${path} ${what}`)

/**
 * Gives the finished part its name, in one step that fails when the part was taken over in the meantime: a stopped attempt
 * that wakes right here finds its source gone. Never follows a link at the destination.
 * @throws {UnrecoverableError} `DEST_EXISTS`
 * @throws {AttemptAborted} `LEASE_LOST` when the part is not ours any more
 */
export async function publish(part: string, destination: string, overwrite: boolean): Promise<void> {
  try {
    if (overwrite) {
      await checkDestination(destination, true)
      await rename(part, destination)
    } else {
      await linkOrReserve(part, destination)
      await removeIfThere(part)
    }
  } catch (error) {
    const code = codeOf(error)
    if (code === 'EEXIST' || code === 'EISDIR') throw exists(destination, 'appeared during the download')
    if (code !== 'ENOENT') throw diskFailure(error, destination)
    throw (await statOf(join(destination, '..')))
      ? leaseLost(part)
      : new FleetError('NO_ROOT', `the folder of ${destination} is gone`)
  }
  await syncFolder(join(destination, '..'))
}

/** A link is the one way to name a file without replacing another; where there are none, an empty file holds the place. */
async function linkOrReserve(part: string, destination: string): Promise<void> {
  try {
    await link(part, destination)
  } catch (error) {
    if (!['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS'].includes(codeOf(error))) throw error
    await (await open(destination, 'wx')).close()
    await rename(part, destination)
  }
}

export async function removeIfThere(path: string): Promise<void> {
  await unlink(path).catch((error: unknown) => {
    if (codeOf(error) !== 'ENOENT') throw error
  })
}

/** Makes the new name last through a power cut; some file systems can't, and need not. */
export async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r').catch(() => undefined)
  await folder?.sync().catch(() => undefined)
  await folder?.close()
}
