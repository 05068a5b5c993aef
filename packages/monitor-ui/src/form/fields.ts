import { type FleetError, parseJson, shortDuration } from '@taskfleet/protocol'
import { z } from 'zod'
import { formatCount } from '../view/counts.ts'
import { localTime } from '../view/format.ts'
import { editableJson } from '../view/text.ts'

type Kind = 'text' | 'number' | 'flag' | 'choice' | 'choices' | 'date' | 'duration' | 'list' | 'json'

interface Part {
  /** Where its value is in the request, such as `options.queue`; empty for the request itself. */
  path: string
  nullable: boolean
}

/** One value of a request that the user can enter. */
export interface Field extends Part {
  /** The path as the name of the form's input. A dot would create nested objects. */
  name: string
  kind: Kind
  /** The schema's description. */
  description: string | undefined
  /** An edit may clear it. */
  clears: boolean
  /** The choices, as text. */
  options: readonly string[]
  /** The range of a number, in words. */
  range?: string
}

/** An object of a request. */
export interface Group extends Part {
  members: readonly (Field | Group)[]
}

/** The typed texts of a form, by the names of its fields. */
export type Draft = Record<string, string | boolean | string[] | undefined>

/** The fields of an object's schema, without those that the form omits. */
export function groupOf(schema: z.ZodType, leftOut: readonly string[] = [], path = ''): Group {
  const { inner, ...part } = unwrapped(schema)
  if (!(inner instanceof z.ZodObject)) throw new Error(`'${path}' is no object`)
  const members = Object.entries(inner.shape as Record<string, z.ZodType>)
    .map(([name, member]) => ({ member, at: path === '' ? name : `${path}.${name}` }))
    .filter(({ at }) => !leftOut.includes(at))
    .map(({ member, at }) =>
      unwrapped(member).inner instanceof z.ZodObject ? groupOf(member, leftOut, at) : fieldOf(member, at),
    )
  // An object is sent whole, so its fields are optional.
  const isWhole = path !== '' && !takesChanges(members)
  return {
    path,
    nullable: part.nullable,
    members: isWhole ? members.map((one) => (isGroup(one) ? one : { ...one, clears: true })) : members,
  }
}

/** An object whose every field may be null is a list of changes itself. */
const takesChanges = (members: Group['members']): boolean => members.every(({ nullable }) => nullable)

const isGroup = (part: Field | Group): part is Group => 'members' in part

export const fieldsIn = (part: Field | Group): Field[] => (isGroup(part) ? part.members.flatMap(fieldsIn) : [part])

function fieldOf(schema: z.ZodType, path: string): Field {
  const { inner, ...part } = unwrapped(schema)
  const drawn = drawnAs(inner)
  // If a task omits a flag of its retries, its handler decides.
  const isOpen = drawn.kind === 'flag' && path.includes('retry.')
  const kind = isOpen ? { kind: 'choice' as const, options: ['true', 'false'] } : drawn
  return { path, name: path.replaceAll('.', '/'), options: [], clears: part.nullable, ...part, ...kind }
}

function drawnAs(schema: z.ZodType): Pick<Field, 'kind'> & Partial<Field> {
  if (schema instanceof z.ZodBoolean) return { kind: 'flag' }
  if (schema instanceof z.ZodEnum) return { kind: 'choice', options: schema.options.map(String) }
  if (schema instanceof z.ZodNumber) return { kind: 'number', range: rangeOf(schema) }
  if (schema instanceof z.core.$ZodString) return { kind: schema.meta()?.format === 'date-time' ? 'date' : 'text' }
  if (schema instanceof z.ZodArray) {
    const { element } = schema
    return element instanceof z.ZodEnum ? { kind: 'choices', options: element.options.map(String) } : { kind: 'list' }
  }
  if (schema instanceof z.ZodUnion) {
    const [number, ...others] = schema.options as z.ZodType[]
    if (others.some((one) => one instanceof z.ZodArray)) return { kind: 'list' }
    if (others.some((one) => one instanceof z.ZodString)) return { kind: 'duration' }
    // The levels of a number that has names for some of them.
    if (number instanceof z.ZodNumber) return { kind: 'choice', options: levelsOf(number) }
  }
  return { kind: 'json' }
}

function levelsOf({ minValue, maxValue }: z.ZodNumber): string[] {
  const [least, most] = [minValue ?? 1, maxValue ?? 1]
  return Array.from({ length: most - least + 1 }, (_, index) => String(most - index))
}

function rangeOf({ minValue, maxValue, isInt }: z.ZodNumber): string {
  const least = minValue !== null && minValue > Number.MIN_SAFE_INTEGER ? ` from ${formatCount(minValue)}` : ''
  const most = maxValue !== null && maxValue < Number.MAX_SAFE_INTEGER ? ` to ${formatCount(maxValue)}` : ''
  return `${isInt ? 'A whole number' : 'A number'}${least}${most}`
}

function unwrapped(schema: z.ZodType) {
  let inner = schema
  let { description } = schema
  let nullable = false
  while (inner instanceof z.ZodOptional || inner instanceof z.ZodExactOptional || inner instanceof z.ZodNullable) {
    nullable ||= inner instanceof z.ZodNullable
    inner = inner.unwrap() as z.ZodType
    description ??= inner.description
  }
  return { inner, description, nullable }
}

const valueAt = (value: unknown, path: string): unknown =>
  path.split('.').reduce<unknown>((inner, name) => (inner as Record<string, unknown> | undefined)?.[name], value)

/** A value as the form shows it. */
export function draftOf(fields: readonly Field[], value: object): Draft {
  return Object.fromEntries(fields.map((field) => [field.name, typed(field, valueAt(value, field.path))]))
}

function typed({ kind }: Field, value: unknown): Draft[string] {
  if (kind === 'flag') return value === true
  if (kind === 'choices') return [...((value as string[] | undefined) ?? [])]
  if (value === undefined || value === null) return ''
  if (kind === 'json') return editableJson(value)
  if (kind === 'date') return localTime(String(value))
  if (kind === 'duration' && typeof value === 'number') return shortDuration(value)
  return Array.isArray(value) ? value.join(', ') : String(value)
}

/** Undefined for an empty field. @throws {Error} with a message about the invalid text */
function parsed({ kind, options }: Field, draft: Draft[string]): unknown {
  if (draft === undefined || typeof draft === 'boolean') return draft || undefined
  if (typeof draft !== 'string') return draft.length === 0 ? undefined : draft
  const text = draft.trim()
  if (text === '') return undefined
  switch (kind) {
    case 'json':
      return parseTyped(text)
    case 'list':
      return [...new Set(text.split(/[\s,;]+/).filter((one) => one !== ''))]
    case 'date': {
      const date = new Date(text)
      if (Number.isNaN(date.getTime())) throw new Error('Not a date and time')
      return date.toISOString()
    }
    case 'number':
      // A text that is no number stays text, which the schema rejects.
      return /^-?\d+(\.\d+)?$/.test(text) ? Number(text) : text
    case 'choice':
      return options.every(isLiteral) ? JSON.parse(text) : text
    default:
      return text
  }
}

const isLiteral = (text: string): boolean => /^(\d+|true|false)$/.test(text)

/** JSON, without numbers that would be rounded. */
function parseTyped(text: string): unknown {
  try {
    return parseJson(text)
  } catch (thrown) {
    const { code, message, cause } = thrown as FleetError
    throw new Error(code === 'BAD_JSON' ? `Not JSON: ${cause instanceof Error ? cause.message : message}` : message)
  }
}

interface Reader {
  schema: z.ZodType
  root: Group
  draft: Draft
  /** Fields that are not typed. */
  known?: Readonly<Record<string, unknown>> | undefined
  /** The edited value as it is stored, and the draft made from it. */
  before?: { value: object; draft: Draft } | undefined
}

export interface Reading {
  /** The request that the draft makes. */
  value: Record<string, unknown>
  /** The errors, by the names of the fields. */
  errors: Record<string, string>
  /** The errors of no single field. */
  problem?: string
}

/**
 * The request that a draft makes, checked by the schema. Of an edit only the changes are read; a cleared field is null. An object is
 * sent whole if one of its fields has changed, unless each of its fields may be null: then it is a list of changes itself.
 */
export function readDraft({ schema, root, draft, known, before }: Reader): Reading {
  const errors: Record<string, string> = {}
  const isChanged = (part: Field | Group): boolean =>
    fieldsIn(part).some(({ name }) => before === undefined || !isSame(draft[name], before.draft[name]))

  const read = (part: Field | Group): unknown => {
    if (isGroup(part)) return readGroup(part)
    // The stored value: a field does not show milliseconds.
    if (!isChanged(part) && before !== undefined) return valueAt(before.value, part.path)
    try {
      return parsed(part, draft[part.name])
    } catch (thrown) {
      errors[part.name] = (thrown as Error).message
      return undefined
    }
  }
  const readGroup = (group: Group): Record<string, unknown> | undefined => {
    const isChanges = before !== undefined && (group === root || takesChanges(group.members))
    const value: Record<string, unknown> = {}
    for (const part of isChanges ? group.members.filter(isChanged) : group.members) {
      const typed = read(part)
      const found = typed === undefined && isChanges ? emptied(part) : typed
      if (found !== undefined) value[part.path.slice(part.path.lastIndexOf('.') + 1)] = found
      else if (isChanges && !isGroup(part)) errors[part.name] ??= 'Required'
    }
    return group === root || Object.keys(value).length > 0 ? value : undefined
  }

  const sent = Object.entries({ ...readGroup(root), ...known })
  const value = Object.fromEntries(sent.filter(([, one]) => one !== undefined))
  const fields = fieldsIn(root)
  const reading: Reading = { value, errors }
  for (const issue of schema.safeParse(value).error?.issues ?? []) {
    const field = fieldAt(fields, issue.path.join('.'))
    if (field === undefined) reading.problem ??= issue.message
    else errors[field.name] ??= messageOf(field, issue, valueAt(value, field.path))
  }
  return reading
}

/** The value that clears an edited field. */
function emptied(part: Field | Group): unknown {
  if (part.nullable) return null
  if (isGroup(part)) return {}
  return part.kind === 'flag' ? false : undefined
}

function isSame(one: Draft[string], other: Draft[string]): boolean {
  const plain = (draft: Draft[string]) => JSON.stringify(Array.isArray(draft) ? [...draft].sort() : draft)
  return plain(one) === plain(other)
}

export const changedFields = (fields: readonly Field[], draft: Draft, before: Draft): Field[] =>
  fields.filter(({ name }) => !isSame(draft[name], before[name]))

function messageOf({ kind, range }: Field, issue: z.core.$ZodIssue, value: unknown): string {
  if (value === undefined) return 'Required'
  if (kind === 'number') return range ?? issue.message
  if (kind === 'json') return 'A JSON object, such as { "a": 1 }'
  if (issue.code === 'too_big') return `At most ${issue.maximum} ${issue.origin === 'array' ? 'entries' : 'characters'}`
  return issue.message
}

/**
 * The field of an error's path: `defaults.input.a` is in `defaults.input`. The core checks the task of a callback or a schedule
 * as one of its own, so `queue` may be `options.queue`, and `name` its `task`.
 */
export function fieldAt(fields: readonly Field[], path = ''): Field | undefined {
  const inner = (of: string): string => of.slice(of.indexOf('.') + 1)
  const isIn = (wanted: string, known: string): boolean => wanted === known || wanted.startsWith(`${known}.`)
  for (const wanted of [path, inner(path), path === 'name' ? 'task' : path]) {
    const found =
      fields.find((field) => isIn(wanted, field.path)) ?? fields.find((field) => isIn(wanted, inner(field.path)))
    if (found !== undefined) return found
  }
  return undefined
}
