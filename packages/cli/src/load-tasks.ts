import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { asError } from '@taskfleet/core'
import { FleetError } from '@taskfleet/protocol'
import type { TaskFactory } from '@taskfleet/worker'
import { exportedValues, readTypeScript } from '@taskfleet/worker/internal'

/**
 * The tasks that a file exports, by name or as default, single or in lists. TypeScript needs no build.
 *
 * @throws {FleetError} `BAD_TASKS_FILE`
 */
export async function loadTasks(file: string): Promise<TaskFactory[]> {
  const path = resolve(file)
  if (/\.[cm]?ts$/.test(path)) await readTypeScript()
  let module: Record<string, unknown>
  try {
    module = (await import(pathToFileURL(path).href)) as Record<string, unknown>
  } catch (error) {
    const message = `Can't load the tasks of ${path}: ${asError(error).message}`
    throw new FleetError('BAD_TASKS_FILE', message, { cause: error })
  }
  const tasks = exportedValues(module).filter(isFactory)
  if (tasks.length === 0)
    throw new FleetError('BAD_TASKS_FILE', `${path} exports no tasks: use defineTask({ name, input, run })`)
  for (const task of tasks) task.module ??= pathToFileURL(path).href
  return tasks
}

/** Checks the shape instead of the class, since the file may have its own copy of the library. */
function isFactory(value: unknown): value is TaskFactory {
  const { name, run, accept } = (value ?? {}) as Partial<TaskFactory>
  return typeof name === 'string' && typeof run === 'function' && typeof accept === 'function'
}
