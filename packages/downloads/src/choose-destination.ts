import { join } from 'node:path'
import { numberedNames } from '@taskfleet/download-contract/internal'
import { FleetError, UnrecoverableError } from '@taskfleet/protocol'
import type { DownloadState } from './contract.ts'
import { checkDestination } from './destination.ts'
import { type DestinationLock, lockDestination } from './destination-lock.ts'
import { type ExistingFile, rightFile } from './existing-file.ts'
import { codeOf } from './failures.ts'
import type { PartOwner } from './part-file.ts'
import type { DownloadRequest } from './request.ts'

export type Destination =
  | { owner: PartOwner; lock: DestinationLock }
  /** Nothing is to be downloaded: the file is there. */
  | { file: string; found: ExistingFile; ofEarlierAttempt: boolean }

export interface DestinationOptions {
  /** With the name that the file should get. */
  owner: PartOwner
  request: DownloadRequest
  previous: DownloadState | undefined
  staleMs: number
  /** Called while a file that is there is read, with the number of bytes so far; stops by throwing. */
  check(done: number): Promise<void>
}

/**
 * The name that this task works on, with its lock, or the file that makes the download unnecessary.
 *
 * @throws {UnrecoverableError} `DEST_BUSY`, `DEST_EXISTS`
 */
export async function chooseDestination(options: DestinationOptions): Promise<Destination> {
  const { owner, request, previous, staleMs, check } = options
  const mayRename = request.expect === 'rename'
  const names = mayRename ? new Set([previous?.file ?? owner.name, ...numberedNames(owner.name)]) : [owner.name]
  for (const name of names) {
    const candidate = { ...owner, name }
    const path = join(owner.folder, name)
    let lock: DestinationLock | undefined
    try {
      lock = await lockDestination({ ...candidate, staleMs })
      const before = name === previous?.file ? await publishedBefore(path, previous, check) : undefined
      const found = before ?? (await rightFile(path, request, check))
      if (found) return { file: name, found, ofEarlierAttempt: before !== undefined }
      await checkDestination(path, request.expect === 'overwrite')
      const locked = lock
      lock = undefined
      return { owner: candidate, lock: locked }
    } catch (error) {
      if (!mayRename || !['DEST_BUSY', 'DEST_EXISTS'].includes(codeOf(error))) throw error
    } finally {
      await lock?.release()
    }
  }
  throw new UnrecoverableError('DEST_EXISTS', `${owner.name} and all names with a number are taken`)
}

/** The file of an attempt that gave it its name and could not report it any more. */
async function publishedBefore(path: string, state: DownloadState, check: DestinationOptions['check']) {
  if (state.sha256 === undefined) return undefined
  const { sha256, bytes: size } = state
  return rightFile(path, { checksums: { sha256 }, size, expect: undefined }, check)
}

/** Gives the finished file its name or, where that was taken meanwhile and the task lets it, the next one. @returns the name */
export async function publishFirstFree(
  name: string,
  { expect }: DownloadRequest,
  publishAs: (name: string) => Promise<void>,
): Promise<string> {
  for (const candidate of expect === 'rename' ? new Set([name, ...numberedNames(name)]) : [name]) {
    try {
      await publishAs(candidate)
      return candidate
    } catch (error) {
      if (expect !== 'rename' || codeOf(error) !== 'DEST_EXISTS') throw error
    }
  }
  throw new FleetError('DEST_EXISTS', `${name} and all names with a number are taken`)
}
