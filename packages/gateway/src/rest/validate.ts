import { FleetError } from '@taskfleet/protocol'
import type { FastifySchemaCompiler } from 'fastify'
import type { z } from 'zod'
import { isDocumentation } from './route.ts'

/** Checks what a route's schemas say, with an error of ours for what does not fit. */
export const validatorCompiler: FastifySchemaCompiler<z.ZodType> = ({ schema, httpPart }) => {
  if (isDocumentation(schema)) return (value) => ({ value })
  return (value) => {
    // No body comes as null.
    const parsed = schema.safeParse(value ?? undefined)
    return parsed.success ? { value: parsed.data } : { error: toError(parsed.error, httpPart) }
  }
}

/** Answers are what they are: tests hold them against the document, and a task that is corrupt can be seen too. */
export const serializerCompiler = () => (value: unknown) => JSON.stringify(value)

/** Parameters that name something: whatever is wrong with them is wrong with the name. */
const CODES: Readonly<Record<string, string>> = {
  id: 'BAD_ID',
  cursor: 'BAD_CURSOR',
  sort: 'BAD_SORT',
  limit: 'BAD_SORT',
  filter: 'BAD_FILTER',
}

function toError({ issues: [issue] }: z.ZodError, httpPart: string | undefined): FleetError {
  if (issue === undefined) return new FleetError('BAD_REQUEST', 'This does not fit')
  const path = issue.path.join('.')
  if (issue.code === 'unrecognized_keys') {
    const key = issue.keys[0]!.slice(0, 80)
    // `id[$gt]=` is an attempt at `id`.
    const meant = /^(\w+)\[/.exec(key)?.[1] ?? ''
    const field = path === '' ? key : `${path}.${key}`
    if (Object.hasOwn(CODES, meant)) return new FleetError(CODES[meant]!, `'${meant}' is a single value`, { field })
    return new FleetError('UNKNOWN_FIELD', `There is no '${key}' here`, { field })
  }
  const code = httpPart === 'querystring' && Object.hasOwn(CODES, path) ? CODES[path]! : codeOf(issue)
  const where = path === '' ? 'The body' : `'${path}'`
  return new FleetError(code, `${where}: ${issue.message}`, path === '' ? {} : { field: path })
}

function codeOf(issue: z.core.$ZodIssue): string {
  if (issue.code === 'custom') return String(issue.params?.code ?? 'BAD_VALUE')
  return issue.path.length === 0 ? 'BAD_REQUEST' : 'BAD_VALUE'
}
