import { z } from 'zod'
import {
  anything,
  date,
  either,
  type Field,
  flag,
  id,
  type Kind,
  listOf,
  number,
  object,
  text,
  whole,
} from './shape.ts'

/** How a single value of the protocol is stored. */
export type ScalarType = 'id' | 'text' | 'date' | 'number' | 'boolean'

/** The type of a single value, or undefined for all other schemas. Enums are texts. */
export function scalarType(schema: z.ZodType): ScalarType | undefined {
  if (schema instanceof z.ZodNumber) return 'number'
  if (schema instanceof z.ZodBoolean) return 'boolean'
  if (schema instanceof z.ZodEnum) return 'text'
  if (!(schema instanceof z.ZodString)) return undefined
  const { title, format } = z.globalRegistry.get(schema) ?? {}
  return title === 'Id' ? 'id' : format === 'date-time' ? 'date' : 'text'
}

export function withoutOptional(schema: z.ZodType): z.ZodType {
  return schema instanceof z.core.$ZodOptional ? withoutOptional(schema._zod.def.innerType as z.ZodType) : schema
}

/** No counter of a fleet comes near this number, and additions to it stay exact. */
export const MOST = 2 ** 52
export const count = whole(0, MOST)

const SCALARS: Record<ScalarType, Kind> = { id, text, date, number, boolean: flag }

/** How stored fields differ from those that clients see, by path: `options.priority`. A stored-only field needs a kind. */
export type Differences = Readonly<Record<string, Partial<Field>>>

/**
 * The fields of stored documents, made from the protocol's schema of what clients see.
 *
 * Only types are checked. The limits and values of a schema apply to requests only: a document that was stored under other
 * limits, or by a later version, must stay readable.
 *
 * @throws {TypeError} for a difference of a field that the schema does not have
 */
export function storedFields(schema: z.ZodObject, differences: Differences = {}): Readonly<Record<string, Field>> {
  const unused = new Set(Object.keys(differences))

  const fieldsBelow = (before: string, { shape }: z.ZodObject): Record<string, Field> => {
    const own = Object.entries(differences)
      .filter(([path, { kind }]) => kind !== undefined && path.startsWith(before))
      .map(([path]) => path.slice(before.length))
      .filter((name) => !name.includes('.'))
    const names = [...new Set([...Object.keys(shape), ...own])]
    return Object.fromEntries(names.map((name) => [name, fieldAt(`${before}${name}`, shape[name] as z.ZodType)]))
  }

  const fieldAt = (path: string, onWire: z.ZodType = z.unknown()): Field => {
    const difference = differences[path]
    unused.delete(path)
    const held = withoutOptional(onWire)
    const needed = held === onWire && !(held instanceof z.ZodUnknown)
    return { kind: difference?.kind ?? kindOf(path, held), needed, ...difference }
  }

  const kindOf = (path: string, held: z.ZodType): Kind => {
    if (held instanceof z.ZodObject) return object(fieldsBelow(`${path}.`, held))
    if (held instanceof z.ZodRecord) return object({})
    if (held instanceof z.ZodArray) return listOf(kindOf(path, held.element as z.ZodType))
    if (held instanceof z.ZodUnion) return either(...(held.options as z.ZodType[]).map((one) => kindOf(path, one)))
    if (held instanceof z.ZodNumber && held.isInt) return count
    const type = scalarType(held)
    return type === undefined ? anything : SCALARS[type]
  }

  const fields = fieldsBelow('', schema)
  if (unused.size > 0) throw new TypeError(`the schema has no field '${[...unused].join("', '")}'`)
  return fields
}
