import { constants } from 'node:fs'
import { open } from 'node:fs/promises'
import { join } from 'node:path'
import { UnrecoverableError } from '@taskfleet/protocol'
import { publish, removeIfThere } from './destination.ts'
import { codeOf, diskFailure } from './failures.ts'
import type { PartOwner } from './part-file.ts'

/** What our own checksum file has at most: a checksum, two spaces, a name and a line end. */
const LONGEST = 512
/** How often another task may write the same file at the same moment. */
const MOST_RACES = 3

/**
 * Writes `<name>.sha256` beside a file, as `sha256sum` does, so that `sha256sum -c` verifies it. An earlier one of the same file is replaced in one step;
 * anything else that has this name stays.
 *
 * @param sha256 lower-case hex
 * @throws {UnrecoverableError} `DEST_EXISTS`
 */
export async function writeChecksumFile({ folder, name, taskId, leaseId }: PartOwner, sha256: string): Promise<void> {
  const path = join(folder, `${name}.sha256`)
  const text = `${sha256}  ${name}\n`
  for (let tries = 1; ; tries++) {
    const there = await contentOf(path)
    if (there === text) return
    if (there !== undefined && there.slice(64) !== text.slice(64))
      throw new UnrecoverableError('DEST_EXISTS', `${path} exists already, and is no checksum of ${name}`)
    try {
      await write(`${path}.${taskId}.${leaseId}.part`, path, text, there !== undefined)
      return
    } catch (error) {
      if (codeOf(error) !== 'DEST_EXISTS' || tries === MOST_RACES) throw error
    }
  }
}

async function write(part: string, path: string, text: string, overwrite: boolean): Promise<void> {
  try {
    await removeIfThere(part)
    const handle = await open(part, 'wx')
    try {
      await handle.writeFile(text)
      await handle.sync()
    } finally {
      await handle.close()
    }
    await publish(part, path, overwrite)
  } catch (error) {
    await removeIfThere(part).catch(() => undefined)
    throw diskFailure(error, path)
  }
}

/** Undefined if nothing is there; empty for what is no small regular file. No link is followed. */
async function contentOf(path: string): Promise<string | undefined> {
  const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = constants
  const handle = await open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK).catch((error: unknown) => {
    if (codeOf(error) === 'ENOENT') return undefined
    if (['ELOOP', 'ENXIO', 'EACCES'].includes(codeOf(error))) return ''
    throw diskFailure(error, path)
  })
  if (handle === undefined || handle === '') return handle
  try {
    const stats = await handle.stat()
    return stats.isFile() && stats.size <= LONGEST ? await handle.readFile('utf8') : ''
  } finally {
    await handle.close()
  }
}
