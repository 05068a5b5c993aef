import type { CollectionName } from '@taskfleet/protocol'
import { shapes } from '@taskfleet/protocol/internal'
import { z } from 'zod'
import { type ScalarType, scalarType, withoutOptional } from '../documents/wire-schema.ts'

/** How a field's values are stored. This decides how a client's text is parsed. */
export type FieldType = ScalarType | 'any'

export interface CollectionFields {
  /** Fields that may be used in filters and sorts, including dotted paths. */
  readonly known: Readonly<Record<string, FieldType>>
  /** Fields with the user's own content: any path below them may be queried. */
  readonly open: readonly string[]
  /** Known fields that hold lists, which have no order. */
  readonly lists: readonly string[]
  /** Fields that are left out of a row unless `fields` requests them. */
  readonly rowWithout: readonly string[]
}

/** Exceptions for the fields of a row's shape. */
interface Exceptions {
  open?: readonly string[]
  /** May not be queried. */
  hidden?: readonly string[]
  rowWithout?: readonly string[]
}

/** Derives the fields from the shape of a row: texts, numbers, dates and lists of them, with dotted paths into objects. */
function fieldsOf(row: z.ZodObject, { open = [], hidden = [], rowWithout = [] }: Exceptions = {}): CollectionFields {
  const known: Record<string, FieldType> = {}
  const lists: string[] = []
  const visit = (shape: z.ZodRawShape, before: string): void => {
    for (const [name, schema] of Object.entries(shape)) {
      const path = `${before}${name}`
      if (open.includes(path) || hidden.includes(path)) continue
      const held = withoutOptional(schema as z.ZodType)
      if (held instanceof z.ZodObject) {
        visit(held.shape, `${path}.`)
        continue
      }
      const either = held instanceof z.ZodUnion ? (held.options as z.ZodType[]) : [held]
      const list = either.find((one) => one instanceof z.ZodArray)
      const type = scalarType(list === undefined ? held : (list.element as z.ZodType))
      if (type === undefined) continue
      known[path] = type
      if (list !== undefined) lists.push(path)
    }
  }
  visit(row.shape, '')
  return { known, open, lists, rowWithout }
}

/** A task's fields of any size. Lists and the feed leave them out unless they are requested. */
export const TASK_CONTENT = ['input', 'output', 'checkpoint'] as const

export const FIELDS: Record<CollectionName, CollectionFields> = {
  tasks: fieldsOf(shapes.task, {
    open: [...TASK_CONTENT, 'progress', 'labels'],
    hidden: ['attempts', 'retry.backoff', 'error.stack'],
    rowWithout: [...TASK_CONTENT, 'attempts'],
  }),
  workers: fieldsOf(shapes.worker, { open: ['load', 'gate', 'control'] }),
  queues: fieldsOf(shapes.queueSettings),
  schedules: fieldsOf(shapes.schedule, { open: ['input'], hidden: ['options.retry'], rowWithout: ['input'] }),
  events: fieldsOf(shapes.event, { open: ['props', 'results'] }),
  errors: fieldsOf(shapes.errorGroup, { hidden: ['stack', 'trend'] }),
}

/** Fields that are never sent to clients, even if requested. */
export const SECRET_FIELDS: Record<CollectionName, readonly string[]> = {
  tasks: ['lease', 'slot', 'signature', 'predecessors'],
  workers: ['expireAt'],
  queues: [],
  schedules: ['signature'],
  events: ['expireAt'],
  errors: ['expireAt', 'notice'],
}

const PATH = /^[A-Za-z_][A-Za-z0-9_-]*(\.[A-Za-z0-9_-]+)*$/
const FORBIDDEN = new Set(['__proto__', 'constructor', 'prototype'])

/** The type of a path; undefined if it may not be queried. */
export function fieldType(collection: CollectionName, path: string): FieldType | undefined {
  const { known, open } = FIELDS[collection]
  if (Object.hasOwn(known, path)) return known[path]
  const parts = path.split('.')
  if (!PATH.test(path) || parts.length > 8 || parts.some((part) => FORBIDDEN.has(part))) return undefined
  return parts.length > 1 && open.includes(parts[0]!) ? 'any' : undefined
}
