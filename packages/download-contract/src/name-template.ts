import { UnrecoverableError } from '@taskfleet/protocol'
import { checkedName, shortened, splitName } from './file-name.ts'

/** What the fields of a template stand for. */
export interface TemplateValues {
  /** The safe name that the file would have without a template: `{name}` and `{ext}` are its parts. */
  served: string
  /** The URL's host name, without its port. */
  host: string
  date: Date
  /** The task's id. */
  id: string
}

const FIELDS = ['name', 'ext', 'host', 'date', 'id'] as const
type Field = (typeof FIELDS)[number]
/** A word in braces. Other braces are a part of the name. */
const FIELD = /\{([a-z]+)\}/gi

const SAMPLE: TemplateValues = { served: 'name.ext', host: 'host', date: new Date(0), id: '0'.repeat(24) }

/** Whether a name has fields, such as `{date} {name}.{ext}`. */
export const isTemplate = (name: string): boolean => name.search(FIELD) >= 0

/**
 * The template, when it makes a file name.
 * @throws {UnrecoverableError} `BAD_FILENAME`
 */
export function checkedTemplate(template: string): string {
  for (const [whole, field = ''] of template.matchAll(FIELD)) {
    if ((FIELDS as readonly string[]).includes(field)) continue
    const fields = FIELDS.map((name) => `{${name}}`).join(', ')
    const message = `${JSON.stringify(whole.slice(0, 80))} is no field of a file name: there are ${fields}`
    throw new UnrecoverableError('BAD_FILENAME', message, { field: 'file' })
  }
  filledName(template, SAMPLE)
  return template
}

/**
 * The name that a template makes. `{ext}` is the ending without its dot; for a file without one, the dot before `{ext}` is left out. `{date}`
 * is the day in UTC, such as `2026-11-30`. A name that would be too long gets a shorter `{name}`.
 * @throws {UnrecoverableError} `BAD_FILENAME`
 */
export function filledName(template: string, { served, host, date, id }: TemplateValues): string {
  const { stem, ending } = splitName(served)
  const values: Record<Exclude<Field, 'name'>, string> = {
    ext: ending.slice(1),
    host: host.replace(/[[\]:]/g, '_'),
    date: date.toISOString().slice(0, 10),
    id,
  }
  const shape = ending === '' ? template.replaceAll('.{ext}', '') : template
  const filled = (name: string) => shape.replace(FIELD, (_, field: Field) => (field === 'name' ? name : values[field]))
  return checkedName(filled(shortened(stem, filled(''))))
}
