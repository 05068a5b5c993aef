import { z } from 'zod'

const BY_CORE = new WeakSet<object>()

/**
 * Marks a schema as documentation only: the core checks the value, because it knows every rule and its error code. A second check
 * here would give another code. Other uses of the schema don't change, unless it has an `id`, which must be unique.
 */
export function byCore<Schema extends z.ZodType>(schema: Schema): Schema {
  const own = z.globalRegistry.get(schema)?.id === undefined ? (schema.clone() as Schema) : schema
  BY_CORE.add(own)
  return own
}

/** The schema for a request before the core checks it: the names of its fields, and the fields that only their schema checks. */
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
  // Callers may pass `undefined` for an omitted field, although the type of an exactly optional field forbids it.
  if (schema instanceof z.ZodOptional || schema instanceof z.ZodExactOptional)
    return outerField(schema.unwrap() as z.ZodType).optional()
  if (schema instanceof z.ZodNullable) return outerField(schema.unwrap() as z.ZodType).nullable()
  return schema instanceof z.ZodObject ? outerShape(schema) : schema
}

function isByCore(schema: z.ZodType): boolean {
  return BY_CORE.has(schema) || (schema instanceof z.core.$ZodOptional && BY_CORE.has(schema._zod.def.innerType))
}
