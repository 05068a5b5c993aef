import { shapes } from '@taskfleet/protocol/internal'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { mongooseFields, needed, optional, text, whole } from './shape.ts'
import { storedFields } from './wire-schema.ts'

const schema = z.object({
  _id: shapes.hexId,
  at: shapes.date.exactOptional(),
  level: z.int().min(1).max(10),
  ratio: z.number().max(1),
  state: z.enum(['on', 'off']),
  flags: z.array(z.boolean()),
  by: z.object({ name: z.string().max(5), note: z.string().exactOptional() }),
  after: z.union([shapes.hexId, z.array(shapes.hexId)]).exactOptional(),
  labels: z.record(z.string(), z.unknown()),
  input: z.unknown(),
})

test('stored fields have the types of the schema, and not its limits', () => {
  const fields = storedFields(schema)
  const says = Object.entries(fields).map(([name, { kind, needed }]) => [
    name,
    `${needed ? '' : 'optional, '}${kind.says}`,
  ])
  expect(Object.fromEntries(says)).toEqual({
    _id: 'an id',
    at: 'optional, a date',
    level: 'a whole number from 0 to 4503599627370496',
    ratio: 'a number',
    state: 'a text',
    flags: 'a list in which each entry is true or false',
    by: 'an object with name, note',
    after: 'optional, an id, or a list in which each entry is an id',
    labels: 'an object',
    input: 'optional, anything',
  })
  expect(fields.by!.kind.is({ name: 'longer than five' })).toBe(true)
  expect(fields.by!.kind.is({ note: 'x' })).toBe(false)
  expect(mongooseFields({ fields })).toMatchObject({ level: { type: 'Number', required: true }, by: { type: 'Mixed' } })
})

test('differences change a field, add one, and reach into objects', () => {
  const fields = storedFields(schema, {
    level: { kind: whole(1, 10), instead: 5 },
    'by.name': { needed: false },
    'by.secret': needed(text),
    lease: optional(text),
  })
  const is = (name: string, value: unknown): boolean => fields[name]!.kind.is(value)
  expect(fields.level).toMatchObject({ needed: true, instead: 5 })
  expect([is('level', 11), is('lease', 'x'), is('by', { secret: 'x' }), is('by', { name: 'x' })]).toEqual([
    false,
    true,
    true,
    false,
  ])
})

test.each(['lvel', 'by.nmae', 'bye.name'])('a difference of the missing field %s fails at start', (path) => {
  expect(() => storedFields(schema, { [path]: { needed: false } })).toThrow(`the schema has no field '${path}'`)
})
