import type { TaskFile } from '@taskfleet/gateway'
import type { TaskFiles } from './handler.ts'

/** Where the file of a completed task is. The output is what the database holds, so it may be anything. */
export function fileOf(files: TaskFiles | undefined, output: unknown): TaskFile | undefined {
  if (files === undefined || output === undefined || output === null) return undefined
  const path: unknown = files.path(output)
  if (typeof path !== 'string' || path === '') return undefined
  const size: unknown = files.size?.(output)
  return { root: files.root, path, size: typeof size === 'number' ? size : undefined, shared: files.shared === true }
}
