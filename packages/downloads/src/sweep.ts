import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { removeIfThere, statOf } from './destination.ts'

const EVERY_MS = 3_600_000
/** A part file or a lock, by the names that `part-file.ts` and `destination-lock.ts` give them. */
const LEFT_BEHIND = /^(?:.+\.[0-9a-f]{24}\.[\w-]{1,48}(?:\.idle|\.taken)?\.part|\..+\.download-lock)$/

const sweptAt = new Map<string, number>()

/**
 * Removes what nobody has written to for `keepMs`: parts of tasks that were deleted, or that ended on another host. At most once an hour and folder.
 *
 * @param now what the file system says it is: hosts' clocks differ
 * @returns the names
 */
export async function sweepParts(folder: string, keepMs: number, now: number): Promise<string[]> {
  const before = sweptAt.get(folder)
  if (before !== undefined && performance.now() - before < EVERY_MS) return []
  sweptAt.set(folder, performance.now())
  const removed: string[] = []
  for (const name of await readdir(folder)) {
    if (!LEFT_BEHIND.test(name)) continue
    const path = join(folder, name)
    const found = await statOf(path)
    if (!found?.isFile() || now - found.mtimeMs <= keepMs) continue
    await removeIfThere(path)
    removed.push(name)
  }
  return removed
}
