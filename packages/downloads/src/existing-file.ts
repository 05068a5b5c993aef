import { createHash } from 'node:crypto'
import { constants } from 'node:fs'
import { open } from 'node:fs/promises'
import { codeOf, diskFailure } from './failures.ts'
import type { DownloadRequest } from './request.ts'

const BLOCK = 2 ** 20

export interface ExistingFile {
  bytes: number
  /** Lower-case hex. */
  sha256: string
}

/** What a file that is there must have to count as downloaded. */
type Wanted = Pick<DownloadRequest, 'sha256' | 'size' | 'expect'>

/**
 * The file at `path`, if it makes the download unnecessary: it has the right checksum or, with `expect: 'skip'` and no checksum, the right
 * size. Never follows a link.
 *
 * @param check called for each block that is read, with the number of bytes so far; stops by throwing
 */
export async function rightFile(
  path: string,
  { sha256, size, expect }: Wanted,
  check: (done: number) => Promise<void>,
): Promise<ExistingFile | undefined> {
  if (sha256 === undefined && expect !== 'skip') return undefined
  const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = constants
  const handle = await open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK).catch((error: unknown) => {
    if (['ENOENT', 'ELOOP', 'EACCES', 'ENXIO'].includes(codeOf(error))) return undefined
    throw diskFailure(error, path)
  })
  if (handle === undefined) return undefined
  try {
    const stats = await handle.stat()
    if (!stats.isFile() || (size !== undefined && stats.size !== size)) return undefined
    const hash = createHash('sha256')
    const block = Buffer.allocUnsafe(BLOCK)
    let bytes = 0
    for (;;) {
      await check(bytes)
      const { bytesRead } = await handle.read(block, 0, BLOCK, bytes)
      if (bytesRead === 0) break
      hash.update(block.subarray(0, bytesRead))
      bytes += bytesRead
    }
    const found = { bytes, sha256: hash.digest('hex') }
    return sha256 === undefined || sha256 === found.sha256 ? found : undefined
  } finally {
    await handle.close()
  }
}
