import { outerShape, requestError } from '@taskfleet/protocol/internal'
import type { FastifySchemaCompiler } from 'fastify'
import type { z } from 'zod'

/** Checks a request against the route's schemas, unless the core does. */
export const validatorCompiler: FastifySchemaCompiler<z.ZodType> = ({ schema, httpPart }) => {
  if (httpPart === 'params' || httpPart === 'headers') return (value) => ({ value })
  const outer = outerShape(schema)
  return (value) => {
    // A missing body is null.
    const parsed = outer.safeParse(value ?? undefined)
    return parsed.success ? { value: parsed.data } : { error: requestError(parsed.error) }
  }
}

/** Answers are not checked: tests compare them with the document, and an invalid task must be shown too. */
export const serializerCompiler = () => (value: unknown) => JSON.stringify(value)
