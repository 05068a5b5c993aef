import { createHash } from 'node:crypto'
import { asError, FleetError } from '../errors.ts'
import type { TaskError } from './task-document.ts'

const MESSAGE_LIMIT = 4_000
const STACK_LIMIT = 8_000

/** The message without what differs from case to case: ids, numbers, quoted values, paths and addresses. */
function normalise(message: string): string {
  return message
    .replace(/\b[0-9a-f]{8}-[0-9a-f-]{27}\b/gi, '<uuid>')
    .replace(/\b[0-9a-f]{16,}\b/gi, '<hex>')
    .replace(/\bhttps?:\/\/\S+/gi, '<url>')
    .replace(/(['"`]).*?\1/g, '<value>')
    .replace(/\d+/g, '<n>')
}

/** The top frames without line numbers and folders, so that a new release doesn't make a new fault. */
function frames(stack: string | undefined): string {
  return (stack ?? '')
    .split('\n')
    .filter((line) => /^\s+at /.test(line) && !line.includes('node:internal'))
    .slice(0, 3)
    .map((line) => line.replace(/\(?(?:file:\/\/)?[^\s(]*[\\/]/, '').replace(/:\d+:\d+\)?$/, ''))
    .join('|')
}

/** Equal for errors that are the same fault: by name, code, normalised message and top frames. */
export function fingerprint(error: {
  name: string
  code: string
  message: string
  stack?: string | undefined
}): string {
  return createHash('sha256')
    .update([error.name, error.code, normalise(error.message), frames(error.stack)].join('\n'))
    .digest('hex')
    .slice(0, 16)
}

/** Whatever a handler threw, as it is kept on the task. */
export function toTaskError(thrown: unknown): TaskError {
  const error = asError(thrown)
  const named = error as { code?: unknown }
  const code = error instanceof FleetError || typeof named.code === 'string' ? String(named.code) : 'HANDLER_FAILED'
  const described = { code, name: error.name, message: error.message.slice(0, MESSAGE_LIMIT) }
  const stack = error.stack?.slice(0, STACK_LIMIT)
  return {
    ...described,
    fingerprint: fingerprint({ ...described, stack }),
    ...(stack === undefined ? {} : { stack }),
  }
}
