import { createHash } from 'node:crypto'
import { constants } from 'node:fs'
import { open } from 'node:fs/promises'
import type { Algorithm } from '@taskfleet/download-contract/internal'
import { algorithmsOf, wrongChecksum } from './checksums.ts'
import { codeOf, diskFailure } from './failures.ts'
import type { DownloadRequest } from './request.ts'

const BLOCK = 2 ** 20

export interface ExistingFile {
  bytes: number
  /** Lower-case hex. */
  sha256: string
}

/** What a file that is there must have to count as downloaded. */
type Wanted = Pick<DownloadRequest, 'checksums' | 'size' | 'expect'>

/**
 * The file at `path`, if it makes the download unnecessary: it has the right checksum or, with `expect: 'skip'` and no checksum, the right
 * size. Never follows a link.
 *
 * @param check called for each block that is read, with the number of bytes so far; stops by throwing
 */
export async function rightFile(
  path: string,
  { checksums, size, expect }: Wanted,
  check: (done: number) => Promise<void>,
): Promise<ExistingFile | undefined> {
  const algorithms = algorithmsOf(checksums)
  if (algorithms.length === 0 && expect !== 'skip') return undefined
  const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = constants
  const handle = await open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK).catch((error: unknown) => {
    if (['ENOENT', 'ELOOP', 'EACCES', 'ENXIO'].includes(codeOf(error))) return undefined
    throw diskFailure(error, path)
  })
  if (handle === undefined) return undefined
  try {
    const stats = await handle.stat()
    if (!stats.isFile() || (size !== undefined && stats.size !== size)) return undefined
    const hashes = [...new Set<Algorithm>(['sha256', ...algorithms])].map((name) => [name, createHash(name)] as const)
    const block = Buffer.allocUnsafe(BLOCK)
    let bytes = 0
    for (;;) {
      await check(bytes)
      const { bytesRead } = await handle.read(block, 0, BLOCK, bytes)
      if (bytesRead === 0) break
      for (const [, hash] of hashes) hash.update(block.subarray(0, bytesRead))
      bytes += bytesRead
    }
    const found = Object.fromEntries(hashes.map(([name, hash]) => [name, hash.digest('hex')])) as { sha256: string }
    return wrongChecksum(checksums, found) === undefined ? { bytes, sha256: found.sha256 } : undefined
  } finally {
    await handle.close()
  }
}
