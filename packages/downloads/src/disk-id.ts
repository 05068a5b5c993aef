import { randomUUID } from 'node:crypto'
import { link, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { checkRoot, removeIfThere, syncFolder } from './destination.ts'
import { codeOf, diskFailure } from './failures.ts'

const NAME = '.taskfleet-disk'
const ID = /^[0-9a-f-]{36}\n$/

/**
 * An id of the folder itself, the same for all hosts that share it: it is stored in the file `.taskfleet-disk` there. Hosts that have a disk
 * each have an id each.
 *
 * @throws {FleetError} `NO_ROOT`; {UnrecoverableError} `BAD_ROOT` and the failures of the disk
 */
export async function diskId(folder: string): Promise<string> {
  const root = await checkRoot(folder)
  const path = join(root, NAME)
  const there = await stored(path)
  if (there !== undefined) return there
  // Nobody may read a file that is half written, and two hosts may come here at the same time.
  const own = `${path}.${randomUUID()}`
  try {
    await writeFile(own, `${randomUUID()}\n`, { flag: 'wx', flush: true })
    await link(own, path)
    await syncFolder(root)
  } catch (error) {
    if (codeOf(error) !== 'EEXIST') throw diskFailure(error, path)
  } finally {
    await removeIfThere(own)
  }
  const id = await stored(path)
  if (id === undefined) throw new Error(`${path} is no id of a disk: remove it`)
  return id
}

/** Undefined if there is none. */
async function stored(path: string): Promise<string | undefined> {
  try {
    const text = await readFile(path, 'utf8')
    return ID.test(text) ? text.trim() : undefined
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined
    throw diskFailure(error, path)
  }
}
