import { mkdir, realpath } from 'node:fs/promises'
import { join } from 'node:path'
import { UnrecoverableError } from '@taskfleet/protocol'
import { statOf, syncFolder } from './destination.ts'
import { codeOf, diskFailure } from './failures.ts'

/**
 * The folder below `root` that these parts name, made where it is missing. No link is followed.
 *
 * @param root as `checkRoot` returns it
 * @param parts as `checkedFolder` returns them
 * @throws {UnrecoverableError} `BAD_FOLDER` when a link or something else than a folder is in its path, or a folder whose name differs only
 *   by case, on disks where these are one
 */
export async function makeFolder(root: string, parts: readonly string[]): Promise<string> {
  let path = root
  for (const part of parts) {
    const above = path
    path = join(above, part)
    if ((await statOf(path)) === undefined) await make(path, above)
    const found = await statOf(path)
    if (found?.isDirectory() !== true) throw bad(path, found?.isSymbolicLink() ? 'is a symbolic link' : 'is no folder')
  }
  const real = await realpath(path).catch((error: unknown) => {
    throw diskFailure(error, path)
  })
  if (real !== path) throw bad(path, `is ${real}`)
  return path
}

async function make(path: string, above: string): Promise<void> {
  try {
    await mkdir(path)
    await syncFolder(above)
  } catch (error) {
    // Another task has made it meanwhile.
    if (codeOf(error) !== 'EEXIST') throw diskFailure(error, path)
  }
}

const bad = (path: string, what: string) =>
  new UnrecoverableError('BAD_FOLDER', `${path} ${what}: give another folder`, { field: 'folder' })
