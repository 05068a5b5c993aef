import { z } from 'zod'

const BY_CORE = new WeakSet<object>()

/**
 * A schema that only documents: the core checks the value, since it knows every rule and the code that belongs to it. A second check
 * here would answer with another code. Other uses of the schema stay as they are, unless it has an `id`, of which there can be one.
 */
export function byCore<Schema extends z.ZodType>(schema: Schema): Schema {
  const own = z.globalRegistry.get(schema)?.id === undefined ? (schema.clone() as Schema) : schema
  BY_CORE.add(own)
  return own
}

/** What is left to check of a request before the core sees it: the names of its fields, and those that only their schema checks. */
export function outerShape(request: z.ZodType): z.ZodType {
  if (isByCore(request)) return z.unknown()
  if (!(request instanceof z.ZodObject)) return request
  const checked = Object.entries(request.shape as Record<string, z.ZodType>).map(([name, schema]) => [
    name,
    outerField(schema),
  ])
  const outer = z.strictObject(Object.fromEntries(checked) as z.ZodRawShape)
  const checks = (request._zod.def.checks ?? []) as z.core.$ZodCheck<unknown>[]
  return checks.length === 0 ? outer : outer.check(...checks)
}

function outerField(schema: z.ZodType): z.ZodType {
  if (isByCore(schema)) return z.unknown().optional()
  // Callers may give `undefined` for a field that they leave out, which the type of an exactly optional one forbids.
  if (schema instanceof z.ZodOptional || schema instanceof z.ZodExactOptional)
    return outerField(schema.unwrap() as z.ZodType).optional()
  if (schema instanceof z.ZodNullable) return outerField(schema.unwrap() as z.ZodType).nullable()
  return schema instanceof z.ZodObject ? outerShape(schema) : schema
}

function isByCore(schema: z.ZodType): boolean {
  return BY_CORE.has(schema) || (schema instanceof z.core.$ZodOptional && BY_CORE.has(schema._zod.def.innerType))
}
