import type { TaskRow } from '@taskfleet/protocol'

/** A text field of a task's input, if it has it. */
function inputText(task: Pick<TaskRow, 'input'>, field: 'file' | 'url' | 'sha256'): string | undefined {
  const { input } = task
  if (typeof input !== 'object' || input === null || !(field in input)) return undefined
  const value = (input as Record<string, unknown>)[field]
  return typeof value === 'string' && value !== '' ? value : undefined
}

/** The last part of an address's path, decoded if possible. */
export function fileOfUrl(url: string): string | undefined {
  const path = url.replace(/[?#].*$/s, '').replace(/^[a-z][a-z0-9+.-]*:\/\/[^/]*/i, '')
  const last = path.split('/').findLast((part) => part !== '')
  if (last === undefined) return undefined
  try {
    return decodeURIComponent(last)
  } catch {
    return last
  }
}

/** The title of a task; without one the file of a download, else the name of its handler. Foreign text: draw it with `<Foreign>`. */
export function taskTitle(task: Pick<TaskRow, 'title' | 'input' | 'name'>): string {
  if (task.title !== undefined) return task.title
  const file = inputText(task, 'file')
  if (file !== undefined) return file
  const url = inputText(task, 'url')
  return (url === undefined ? undefined : fileOfUrl(url)) ?? task.name
}
