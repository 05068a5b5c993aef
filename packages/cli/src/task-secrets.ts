import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { SecretSource } from '@taskfleet/worker'

/**
 * The secrets of tasks on this computer: from `TASKFLEET_SECRET_<NAME>`, else from the file of that name in a folder, as Docker
 * and Kubernetes mount them. Read for each attempt, so that a replaced file applies at once.
 */
export function secretsOfTasks(folder: string | undefined, env: NodeJS.ProcessEnv = process.env): SecretSource {
  return async (name) => {
    const given = env[`TASKFLEET_SECRET_${name.toUpperCase().replaceAll('-', '_')}`]
    if (given !== undefined && given !== '') return given
    if (folder === undefined) return undefined
    try {
      // A file written by hand ends with a line break.
      return (await readFile(join(folder, name), 'utf8')).replace(/\r?\n$/, '')
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
      throw error
    }
  }
}
