import type { SchemaDefinition } from 'mongoose'
import { driver } from '../database/driver.ts'
import type { Expression } from '../task/server-time.ts'
import { isPlainObject } from './plain.ts'

/** The kind of a value. It can be tested here, and by the server within updates and searches. */
export interface Kind {
  /** In words, for people: `a date`. */
  readonly says: string
  is(value: unknown): boolean
  /** The mongoose type; `Mixed` if absent. */
  readonly type?: 'String' | 'Number' | 'Date' | 'Boolean' | 'ObjectId'
  /** The same test as an aggregation expression. It never fails, for any value. */
  fits(path: string): Expression
}

export interface Field {
  readonly kind: Kind
  readonly needed: boolean
  /** Replaces a malformed value when the document is shown or ended. If absent, the field is left out. */
  readonly instead?: unknown
}

/** A rule for a document as a whole. */
export interface Rule {
  /** The field that is reported if the rule is broken. */
  readonly field: string
  readonly says: string
  holds(doc: Doc): boolean
  readonly fits: Expression
}

/** The shape of the documents of one collection. Fields that it doesn't name may have any value. */
export interface Shape {
  readonly fields: Readonly<Record<string, Field>>
  readonly rules?: readonly Rule[]
  /** Its values are never shown. */
  readonly secret?: boolean
}

/** A malformed field. */
export interface Misfit {
  field: string
  /** What is wrong, in words. */
  problem: string
}

export type Doc = Record<string, unknown>

export const needed = (kind: Kind, instead?: unknown): Field => ({ kind, needed: true, instead })
export const optional = (kind: Kind): Field => ({ kind, needed: false })

const typeIs = (path: string, ...types: string[]): Expression =>
  types.length === 1 ? { $eq: [{ $type: path }, types[0]] } : { $in: [{ $type: path }, types] }

export const anything: Kind = { says: 'anything', is: () => true, fits: () => true }

export const text: Kind = {
  says: 'a text',
  type: 'String',
  is: (value) => typeof value === 'string',
  fits: (path) => typeIs(path, 'string'),
}

export const flag: Kind = {
  says: 'true or false',
  type: 'Boolean',
  is: (value) => typeof value === 'boolean',
  fits: (path) => typeIs(path, 'bool'),
}

export const id: Kind = {
  says: 'an id',
  type: 'ObjectId',
  is: (value) => value instanceof driver.ObjectId,
  fits: (path) => typeIs(path, 'objectId'),
}

/** Any number that JavaScript can hold. */
export const number: Kind = {
  says: 'a number',
  type: 'Number',
  is: (value) => typeof value === 'number',
  fits: (path) => ({
    $and: [
      typeIs(path, 'int', 'long', 'double'),
      { $or: [{ $ne: [{ $type: path }, 'long'] }, within(path, -LARGEST, LARGEST)] },
    ],
  }),
}

// Years have four digits: every server and driver can read those, and requests may have no others.
const EARLIEST = new Date('0001-01-01T00:00:00Z')
const LATEST = new Date('9999-12-31T23:59:59.999Z')

export const date: Kind = {
  says: 'a date',
  type: 'Date',
  is: (value) => value instanceof Date && value >= EARLIEST && value <= LATEST,
  fits: (path) => ({ $and: [typeIs(path, 'date'), within(path, EARLIEST, LATEST)] }),
}

const LARGEST = Number.MAX_SAFE_INTEGER

/** Comparisons never fail on the server, because all types are ordered. */
const within = (path: string, least: unknown, most: unknown): Expression => ({
  $and: [{ $gte: [path, { $literal: least }] }, { $lte: [path, { $literal: most }] }],
})

export function whole(least: number, most: number): Kind {
  return {
    says: `a whole number from ${least} to ${most}`,
    type: 'Number',
    is: (value) => Number.isInteger(value) && (value as number) >= least && (value as number) <= most,
    fits: (path) => ({
      // `$mod` fails for a value that is not a number. `$cond` evaluates only the branch that it takes.
      $cond: [
        { $and: [typeIs(path, 'int', 'long', 'double'), within(path, least, most)] },
        { $eq: [{ $mod: [path, 1] }, 0] },
        false,
      ],
    }),
  }
}

export function oneOf(values: readonly string[]): Kind {
  return {
    says: `one of ${values.join(', ')}`,
    type: 'String',
    is: (value) => (values as readonly unknown[]).includes(value),
    fits: (path) => ({ $in: [path, { $literal: values }] }),
  }
}

export function matching(pattern: RegExp, says: string): Kind {
  return {
    says,
    is: (value) => typeof value === 'string' && pattern.test(value),
    fits: (path) => ({
      $cond: [typeIs(path, 'string'), { $regexMatch: { input: path, regex: pattern.source } }, false],
    }),
  }
}

export function listOf(kind: Kind): Kind {
  return {
    says: `a list in which each entry is ${kind.says}`,
    is: (value) => Array.isArray(value) && value.every((one) => kind.is(one)),
    fits: (path) => ({
      $cond: [
        { $isArray: [path] },
        { $allElementsTrue: [{ $map: { input: path, as: 'one', in: kind.fits('$$one') } }] },
        false,
      ],
    }),
  }
}

export function either(...kinds: readonly Kind[]): Kind {
  return {
    says: kinds.map(({ says }) => says).join(', or '),
    is: (value) => kinds.some((kind) => kind.is(value)),
    fits: (path) => ({ $or: kinds.map((kind) => kind.fits(path)) }),
  }
}

export function object(fields: Readonly<Record<string, Field>>): Kind {
  const entries = Object.entries(fields)
  return {
    says: entries.length === 0 ? 'an object' : `an object with ${entries.map(([name]) => name).join(', ')}`,
    is: (value) => isPlainObject(value) && entries.every(([name, field]) => fieldIs(field, value[name])),
    fits: (path) => ({
      $and: [typeIs(path, 'object'), ...entries.map(([name, field]) => fieldFits(field, `${path}.${name}`))],
    }),
  }
}

const fieldIs = ({ kind, needed }: Field, value: unknown): boolean => (value === undefined ? !needed : kind.is(value))

function fieldFits({ kind, needed }: Field, path: string): Expression {
  if (needed) return kind.fits(path)
  // In a variable, a missing value is null.
  const absent = path.startsWith('$$') ? typeIs(path, 'missing', 'null') : typeIs(path, 'missing')
  return { $or: [absent, kind.fits(path)] }
}

/** Whether a document has its shape. It is called for every document that is read, so it allocates nothing. */
export function fits(shape: Shape, doc: Doc): boolean {
  for (const name in shape.fields) {
    const { kind, needed } = shape.fields[name]!
    const value = doc[name]
    if (value === undefined ? needed : !kind.is(value)) return false
  }
  return shape.rules?.every((rule) => rule.holds(doc)) ?? true
}

/** The malformed fields of a document, with the reasons. */
export function misfits({ fields, rules = [], secret = false }: Shape, doc: Doc): Misfit[] {
  const wrong = Object.entries(fields)
    .filter(([name, field]) => !fieldIs(field, doc[name]))
    .map(([field, { kind }]) => ({
      field,
      problem: `'${field}' is ${secret ? '' : `${nameOf(doc[field])}, `}not ${kind.says}`,
    }))
  const broken = rules.filter((rule) => !rule.holds(doc)).map(({ field, says }) => ({ field, problem: says }))
  return [...wrong, ...broken]
}

function nameOf(value: unknown): string {
  if (value === undefined) return 'missing'
  if (value === null) return 'null'
  if (typeof value === 'string') return `the text '${value.slice(0, 40)}'`
  if (typeof value === 'number' || typeof value === 'boolean') return String(value)
  if (Array.isArray(value)) return 'a list'
  if (value instanceof Date) return 'a date'
  const type: unknown = (value as { _bsontype?: unknown })._bsontype
  return typeof type === 'string' && !isPlainObject(value) ? `of the type ${type}` : 'an object'
}

/** `fits` as an aggregation expression over whole documents. */
export function fitsOnServer({ fields, rules = [] }: Shape): Expression {
  const each = Object.entries(fields).map(([name, field]) => fieldFits(field, `$${name}`))
  return { $and: [...each, ...rules.map((rule) => rule.fits)] }
}

/** A document with its malformed values replaced, so that readers can rely on the types. */
export function mended({ fields }: Shape, doc: Doc): Doc {
  const whole: Doc = { ...doc }
  for (const [name, field] of Object.entries(fields)) {
    if (fieldIs(field, doc[name])) continue
    if (field.instead === undefined) delete whole[name]
    else whole[name] = field.instead
  }
  return whole
}

/** As `mended`, as the fields of a `$set` stage. */
export function mendedOnServer({ fields }: Shape): Record<string, Expression> {
  return Object.fromEntries(
    Object.entries(fields).map(([name, field]) => {
      const instead = field.instead === undefined ? '$$REMOVE' : { $literal: field.instead }
      return [name, { $cond: [field.kind.fits(`$${name}`), `$${name}`, instead] }]
    }),
  )
}

/** The mongoose schema's fields: checks and casts are as strict as the shape is. */
export function mongooseFields(shape: Shape): SchemaDefinition {
  return Object.fromEntries(
    Object.entries(shape.fields).map(([name, { kind, needed }]) => [
      name,
      { type: kind.type ?? 'Mixed', ...(needed && name !== '_id' ? { required: true } : {}) },
    ]),
  )
}
