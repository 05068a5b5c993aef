import { z } from 'zod'
import { randomOf } from '../live/write-history.ts'

/** A number from 0 up to `below`. */
export type Pick = (below: number) => number

/** A random sequence that the seed determines. */
export function seeded(seed: number): Pick {
  const random = randomOf(seed)
  return (below) => Math.floor(random() * below)
}

const one = <T>(pick: Pick, list: readonly T[]): T => list[pick(list.length)]!
const IDS = ['a'.repeat(24), 'b'.repeat(24), '6b0c0c1b1e4d60611a154379']
const TEXTS = [
  '',
  'a',
  'default',
  'nightly',
  '../x',
  '10s',
  '0 3 * * *',
  '2099-01-01T00:00:00Z',
  'x'.repeat(300),
  '\u0000',
  '💥',
]
const NUMBERS = [0, 1, 2, 5, 10, 100, -1, 0.5, 1e9, 2 ** 53]

function deep(levels: number): unknown {
  let value: unknown = 1
  for (let level = 0; level < levels; level += 1) value = level % 2 === 0 ? [value] : { a: value }
  return value
}

const ODD: readonly unknown[] = [
  ...[null, true, false, 0, -1, 1.5, 1e308, 2 ** 60, '', ' ', 'null', '$where', 'x'.repeat(5_000), '\ud800'],
  ...[[], [[]], [null], {}, { $where: '1' }, { $gt: '' }, { a: { $ne: 1 } }, { constructor: 1 }, deep(120)],
  JSON.parse('{"__proto__":{"admin":true}}'),
  Array.from({ length: 300 }, (_, index) => index),
]

/** A value that mostly matches a schema. */
export function plausible(schema: z.ZodType, pick: Pick): unknown {
  if (schema instanceof z.core.$ZodOptional) {
    return pick(3) === 0 ? undefined : plausible(schema._zod.def.innerType as z.ZodType, pick)
  }
  if (schema instanceof z.core.$ZodNullable) {
    return pick(4) === 0 ? null : plausible(schema._zod.def.innerType as z.ZodType, pick)
  }
  if (schema instanceof z.ZodObject) {
    const entries = Object.entries(schema.shape as Record<string, z.ZodType>)
    return Object.fromEntries(entries.map(([name, inner]) => [name, plausible(inner, pick)]))
  }
  if (schema instanceof z.ZodArray) {
    return Array.from({ length: pick(4) }, () => plausible(schema.element as z.ZodType, pick))
  }
  if (schema instanceof z.ZodUnion) return plausible(one(pick, schema.options as z.ZodType[]), pick)
  if (schema instanceof z.ZodEnum) return one(pick, schema.options)
  if (schema instanceof z.ZodBoolean) return pick(2) === 0
  if (schema instanceof z.ZodNumber) return one(pick, NUMBERS)
  if (schema instanceof z.core.$ZodString) return pick(2) === 0 ? one(pick, IDS) : one(pick, TEXTS)
  return one(pick, [{}, { a: 1 }, { status: 'pending' }, [1], 'text', 1])
}

/** The same with one of its parts replaced, or something added to one. */
export function disturbed(value: unknown, pick: Pick): unknown {
  if (pick(3) === 0 || typeof value !== 'object' || value === null) return one(pick, ODD)
  if (Array.isArray(value)) {
    return value.length === 0
      ? [one(pick, ODD)]
      : value.map((part, index) => (index === 0 ? disturbed(part, pick) : part))
  }
  const entries = Object.entries(value)
  if (entries.length === 0 || pick(6) === 0) return { ...value, [one(pick, TEXTS)]: one(pick, ODD) }
  const [name, part] = one(pick, entries)
  return { ...value, [name]: disturbed(part, pick) }
}
