import { createHash } from 'node:crypto'
import { cutText, given, maskSecrets } from '@taskfleet/protocol/internal'
import { asError } from '../thrown.ts'
import type { TaskError } from './task-document.ts'

const MESSAGE_LIMIT = 4_000
const STACK_LIMIT = 8_000
const CODE_LIMIT = 128
const NAME_LIMIT = 200

/** The message without the parts that vary: ids, numbers, quoted values, paths and addresses. */
function normalise(message: string): string {
  return message
    .replace(/\b[0-9a-f]{8}-[0-9a-f-]{27}\b/gi, '<uuid>')
    .replace(/\b[0-9a-f]{16,}\b/gi, '<hex>')
    .replace(/\bhttps?:\/\/\S+/gi, '<url>')
    .replace(/(['"`]).*?\1/g, '<value>')
    .replace(/\d+/g, '<n>')
}

/** The top frames without line numbers and folders, so that the fingerprint stays the same after a new release. */
function frames(stack: string | undefined): string {
  return (stack ?? '')
    .split('\n')
    .filter((line) => /^\s+at /.test(line) && !line.includes('node:internal'))
    .slice(0, 3)
    .map((line) => line.replace(/\(?(?:file:\/\/)?[^\s(]*[\\/]/, '').replace(/:\d+:\d+\)?$/, ''))
    .join('|')
}

/** Equal for errors that are the same fault. It is made from name, code, normalised message and top frames. */
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

/**
 * Turns any thrown value into the error that is stored on the task. Texts are cut to a length that a page can show, and
 * secrets in them are masked. A `code` is kept if it is a string.
 *
 * @param mask takes secrets out of a text
 */
export function toTaskError(thrown: unknown, mask: (text: string) => string = maskSecrets): TaskError {
  /** Masks before it cuts: no masking rule would recognise the password in half an address. */
  const readable = (text: string, limit: number): string => cutText(mask(text), limit)
  const error = asError(thrown)
  const { code } = error as { code?: unknown }
  const described = {
    code: typeof code === 'string' && code !== '' ? readable(code, CODE_LIMIT) : 'HANDLER_FAILED',
    name: readable(error.name, NAME_LIMIT),
    message: readable(error.message, MESSAGE_LIMIT) || 'An error without a message',
  }
  const stack = error.stack === undefined ? undefined : readable(error.stack, STACK_LIMIT)
  return {
    ...described,
    fingerprint: fingerprint({ ...described, stack }),
    ...given({ stack }),
  }
}
