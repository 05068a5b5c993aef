import { randomBytes } from 'node:crypto'
import { readFile, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

const OURS = /^[\w-]{43}\n?$/

/**
 * The secret of the fleets on a database, kept beside its data in a file that only its owner can read. Only the process that runs the
 * database may call this. A file that other users can read, or that holds anything else, is replaced.
 *
 * @param dataDir the folder of the data; without it the secret is new each time
 */
export async function keptSecret(dataDir: string | undefined): Promise<{ secret: string; secretFile?: string }> {
  const secret = randomBytes(32).toString('base64url')
  if (dataDir === undefined) return { secret }
  const secretFile = join(dataDir, 'secret')
  const kept = await readOwn(secretFile)
  if (kept !== undefined && OURS.test(kept)) return { secret: kept.trim(), secretFile }
  await rm(secretFile, { force: true })
  await writeFile(secretFile, `${secret}\n`, { mode: 0o600, flag: 'wx' })
  return { secret, secretFile }
}

async function readOwn(path: string): Promise<string | undefined> {
  const stats = await stat(path).catch(() => undefined)
  if (stats === undefined || !stats.isFile()) return undefined
  if (process.platform !== 'win32' && (stats.mode & 0o077) !== 0) return undefined
  return readFile(path, 'utf8')
}
