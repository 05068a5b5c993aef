import type { Socket } from 'node:net'
import { EXIT } from './exit.ts'

/** How long an orderly stop may take after the parent has ended. */
const LAST_MS = 5_000

/**
 * Resolves when standard input ends, which it does however the process at its other end has ended. A few seconds later
 * the process exits, even if it has not stopped.
 */
export function parentGone(stdin: NodeJS.ReadStream & Partial<Pick<Socket, 'unref'>> = process.stdin): Promise<void> {
  return new Promise((resolve) => {
    const gone = (): void => {
      setTimeout(() => process.exit(EXIT.failed), LAST_MS).unref()
      resolve()
    }
    stdin.once('end', gone).once('error', gone).resume()
    // It must not keep a stopped process alive.
    stdin.unref?.()
  })
}
