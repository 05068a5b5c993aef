import { constants } from 'node:fs'
import { type FileHandle, open, realpath, stat } from 'node:fs/promises'
import { isAbsolute, join } from 'node:path'
import { FleetError } from '@taskfleet/protocol'
import type { TaskFile } from './task-file.ts'

/** A file that is open for reading, as it was when it was opened. */
export interface OpenFile {
  handle: FileHandle
  /** Its name without folders. */
  name: string
  /** In bytes. */
  size: number
  /** Strong: it changes whenever the file is written. With quotes. */
  etag: string
  modified: Date
}

/** What `open` and `realpath` fail with where there is no file that may be read. */
const NOT_THERE = new Set(['ENOENT', 'ENOTDIR', 'ELOOP', 'EACCES', 'EPERM', 'EISDIR', 'ENXIO', 'ENAMETOOLONG'])

/**
 * Opens a task's file. Nothing outside its root is opened, and no link is followed: neither one that a handler's output names, nor one that is put
 * into its path meanwhile.
 *
 * @throws {FleetError} `NO_FILE`
 */
export async function openFile({ root, path, size }: TaskFile): Promise<OpenFile> {
  const parts = path.split('/')
  const leaves = parts.some((part) => part === '' || part === '.' || part === '..' || /[\\\0]/.test(part))
  if (leaves || isAbsolute(path)) throw noFile('its output names no file within its folder')
  try {
    const wanted = join(await realpath(root), ...parts)
    const handle = await open(wanted, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
    try {
      return { handle, name: parts.at(-1)!, ...(await described(handle, wanted, size)) }
    } catch (error) {
      await handle.close()
      throw error
    }
  } catch (error) {
    if (error instanceof FleetError || !NOT_THERE.has((error as NodeJS.ErrnoException).code ?? '')) throw error
    throw noFile('it is not there any more, or this worker may not read it', error)
  }
}

async function described(
  handle: FileHandle,
  wanted: string,
  size: number | undefined,
): Promise<Omit<OpenFile, 'handle' | 'name'>> {
  const found = await handle.stat({ bigint: true })
  const real = await realpath(wanted)
  const named = await stat(real, { bigint: true })
  // A folder of the path may have been a link at the moment of opening.
  if (real !== wanted || named.ino !== found.ino || named.dev !== found.dev) throw noFile('a link leads to it')
  if (!found.isFile()) throw noFile('it is no regular file')
  if (size !== undefined && found.size !== BigInt(size)) throw noFile('another file has its name now')
  return {
    size: Number(found.size),
    etag: `"${found.size.toString(36)}-${found.mtimeNs.toString(36)}-${found.ino.toString(36)}"`,
    modified: found.mtime,
  }
}

const noFile = (why: string, cause?: unknown): FleetError =>
  new FleetError('NO_FILE', `This task has no file here: ${why}`, cause === undefined ? {} : { cause })
