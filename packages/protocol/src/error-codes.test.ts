import { expect, test } from 'vitest'
import { ERROR_CODES, EXIT, meaningOf } from './error-codes.ts'
import { OPERATIONS, type Operation } from './operations.ts'

const known = Object.entries(ERROR_CODES)

test('every code of an operation has its status and its exit code in the table', () => {
  const operations = Object.values(OPERATIONS).flatMap((verbs) => Object.values(verbs as Record<string, Operation>))
  const codes = new Set(operations.flatMap(({ codes = [] }) => codes))
  expect([...codes].filter((code) => !Object.hasOwn(ERROR_CODES, code))).toEqual([])
})

test('statuses are those of failures, and exit codes are those of the command', () => {
  const exits = new Set<number>(Object.values(EXIT))
  for (const [code, { status, exit }] of known) {
    expect(`${code}: ${status >= 400 && status < 600}, ${exits.has(exit) && exit > 0}`).toBe(`${code}: true, true`)
  }
})

test('a conflict is 409, a missing permission 401 or 403, and neither has the exit code of wrong usage', () => {
  const statuses = (which: RegExp) => new Set(known.flatMap(([code, { status }]) => (which.test(code) ? status : [])))
  expect(statuses(/_EXISTS$|_CONFLICT$|^ALREADY_/)).toEqual(new Set([409]))
  expect(statuses(/^FORBIDDEN$|^(QUEUE|NAME)_NOT_ALLOWED$/)).toEqual(new Set([403]))
  expect(meaningOf('UNAUTHENTICATED')).toEqual({ status: 401, exit: EXIT.refused })
  expect(meaningOf('REV_CONFLICT')).toEqual({ status: 409, exit: EXIT.conflict })
  expect(meaningOf('NOT_FOUND')).toEqual({ status: 404, exit: EXIT.notFound })
  expect(meaningOf('UNKNOWN_OUTCOME')).toEqual({ status: 503, exit: EXIT.unknown })
})

test('a code that is not in the table, such as a name of an object prototype, is 400 and a plain failure', () => {
  for (const code of ['MY_OWN', 'constructor']) expect(meaningOf(code)).toEqual({ status: 400, exit: EXIT.failed })
})
