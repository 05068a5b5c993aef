import type { z } from 'zod'
import { FleetError } from './fleet-error.ts'

/** Fields that have a code of their own: whatever is wrong with them is wrong with the name. */
const CODES: Readonly<Record<string, string>> = {
  id: 'BAD_ID',
  cursor: 'BAD_CURSOR',
  sort: 'BAD_SORT',
  limit: 'BAD_SORT',
  filter: 'BAD_FILTER',
}

/** What a schema found wrong with a request: `BAD_REQUEST`, `UNKNOWN_FIELD`, `BAD_VALUE` or the code of the field, with its path. */
export function requestError({ issues: [issue] }: z.ZodError): FleetError {
  if (issue === undefined) return new FleetError('BAD_REQUEST', 'The request has the wrong shape')
  const path = issue.path.join('.')
  if (issue.code === 'unrecognized_keys') {
    const key = issue.keys[0]!.slice(0, 80)
    // `id[$gt]=` is an attempt at `id`.
    const meant = /^(\w+)\[/.exec(key)?.[1] ?? ''
    const field = path === '' ? key : `${path}.${key}`
    if (Object.hasOwn(CODES, meant)) return new FleetError(CODES[meant]!, `'${meant}' is a single value`, { field })
    return new FleetError('UNKNOWN_FIELD', `There is no '${key}' here`, { field })
  }
  const where = path === '' ? 'The request' : `'${path}'`
  return new FleetError(codeOf(issue, path), `${where}: ${issue.message}`, path === '' ? {} : { field: path })
}

function codeOf(issue: z.core.$ZodIssue, path: string): string {
  if (Object.hasOwn(CODES, path)) return CODES[path]!
  return path === '' && issue.code !== 'custom' ? 'BAD_REQUEST' : 'BAD_VALUE'
}
