import type { z } from 'zod'
import { FleetError } from './fleet-error.ts'

/** Fields with their own error code for every problem. */
const CODES: Readonly<Record<string, string>> = {
  id: 'BAD_ID',
  cursor: 'BAD_CURSOR',
  sort: 'BAD_SORT',
  limit: 'BAD_SORT',
  filter: 'BAD_FILTER',
}

/** The error for a schema's issue with a request: `BAD_REQUEST`, `UNKNOWN_FIELD`, `BAD_VALUE` or the field's own code, with its path. */
export function requestError({ issues: [issue] }: z.ZodError): FleetError {
  if (issue === undefined) return new FleetError('BAD_REQUEST', 'The request has the wrong shape')
  const path = issue.path.join('.')
  if (issue.code === 'unrecognized_keys') {
    const key = issue.keys[0]!.slice(0, 80)
    // `id[$gt]=` is an attempt at `id`.
    const meant = /^(\w+)\[/.exec(key)?.[1] ?? ''
    const field = path === '' ? key : `${path}.${key}`
    if (Object.hasOwn(CODES, meant))
      return new FleetError(CODES[meant]!, `'${meant}' must be a single value`, { field })
    return new FleetError('UNKNOWN_FIELD', `The request has no field '${key}'`, { field })
  }
  const where = path === '' ? 'The request' : `'${path}'`
  return new FleetError(codeOf(issue, path), `${where}: ${issue.message}`, path === '' ? {} : { field: path })
}

function codeOf(issue: z.core.$ZodIssue, path: string): string {
  if (Object.hasOwn(CODES, path)) return CODES[path]!
  return path === '' && issue.code !== 'custom' ? 'BAD_REQUEST' : 'BAD_VALUE'
}
