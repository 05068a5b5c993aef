import { outerShape, requestError } from '@taskfleet/protocol/internal'
import type { FastifySchemaCompiler } from 'fastify'
import type { z } from 'zod'

/** Checks what a route's schemas say, unless the core does. */
export const validatorCompiler: FastifySchemaCompiler<z.ZodType> = ({ schema, httpPart }) => {
  if (httpPart === 'params' || httpPart === 'headers') return (value) => ({ value })
  const outer = outerShape(schema)
  return (value) => {
    // No body comes as null.
    const parsed = outer.safeParse(value ?? undefined)
    return parsed.success ? { value: parsed.data } : { error: requestError(parsed.error) }
  }
}

/** Answers are what they are: tests hold them against the document, and a task that is corrupt can be seen too. */
export const serializerCompiler = () => (value: unknown) => JSON.stringify(value)
