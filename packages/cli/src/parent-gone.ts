import type { Socket } from 'node:net'
import { EXIT } from './exit.ts'

/** How long an orderly stop may take once nobody is left to insist on it. */
const LAST_MS = 5_000

/**
 * Resolves when standard input ends, which it does when the process at its other end has gone, however that went. What has
 * not stopped a few seconds later is ended: nobody is left who would.
 */
export function parentGone(stdin: NodeJS.ReadStream & Partial<Pick<Socket, 'unref'>> = process.stdin): Promise<void> {
  return new Promise((resolve) => {
    const gone = (): void => {
      setTimeout(() => process.exit(EXIT.failed), LAST_MS).unref()
      resolve()
    }
    stdin.once('end', gone).once('error', gone).resume()
    // It is watched, and must not keep a process that has stopped.
    stdin.unref?.()
  })
}
