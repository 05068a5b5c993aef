import { parseDate, parseId } from '@taskfleet/core/internal'
import { FleetError, type Operation } from '@taskfleet/protocol'
import { shapes } from '@taskfleet/protocol/internal'
import { Argument, type Command, Option } from 'commander'
import { z } from 'zod'
import { parseChoices, parseCount, parseDuration, parseList, parsePriorityText, readJson } from './options.ts'

export type Values = Record<string, unknown>

/** How a command differs from the schema of its request. */
export interface RequestForm {
  /** The fields that are arguments, by their syntax: `{ '<name>': 'name', '[json]': 'input' }`. */
  arguments?: Readonly<Record<string, string>>
  /** Objects in the request whose fields are options. The body always is one. */
  nested?: readonly string[]
  /** Fields without an option. */
  hide?: readonly string[]
  /** Options that differ from the schema, by field. */
  flags?: Readonly<Record<string, FlagForm>>
  /** Default values of options, by field. */
  defaults?: Readonly<Values>
}

interface FlagForm {
  /** Replaces the description in the schema. */
  description?: string
  /** With its value, such as `--older-than <duration>`. */
  flag?: string
  /** Returns the value for the request. */
  parse?: (text: string) => unknown
  /** The word for null; `none` by default, if the schema allows null. */
  none?: string
  /** One flag for each value of the field, with its description, instead of one flag with a value. */
  values?: Readonly<Record<string, string>>
}

/** Makes a request from arguments and options. */
type TakeRequest = (words: readonly unknown[], options: Values) => Promise<Values>

interface Field {
  name: string
  /** Its path in the request. */
  path: readonly string[]
  schema: z.ZodType
  form: FlagForm
}

/** Adds an argument or an option to a command for each field of its operation's request. */
export function requestOptions(command: Command, operation: Operation, form: RequestForm = {}): TakeRequest {
  const fields = fieldsOf(operation, form)
  const named = Object.entries(form.arguments ?? {}).map(([syntax, name]) => {
    const field = fields.find((one) => one.name === name)!
    command.addArgument(argumentOf(syntax, field))
    return field
  })
  const free = fields.filter((field) => !named.includes(field) && !form.hide?.includes(field.name))
  const given = free.map((field) => {
    const [first, ...others] = optionsOf(field, operation.body !== undefined)
    const byDefault = form.defaults?.[field.name]
    if (byDefault !== undefined) first!.default(byDefault)
    else if (!isOptional(field.schema)) first!.makeOptionMandatory()
    for (const option of [first!, ...others]) command.addOption(option)
    return { field, option: first! }
  })
  return async (words, options) => {
    const request: Values = operation.body === undefined ? {} : { [operation.body]: {} }
    for (const [index, field] of named.entries()) await put(request, field, words[index], `The ${field.name}`)
    for (const { field, option } of given) {
      const { values } = field.form
      const value =
        values === undefined
          ? options[option.attributeName()]
          : Object.keys(values).find((choice) => options[choice] === true)
      await put(request, field, value, option.long!)
    }
    const flags = given.flatMap(({ field, option }) => (field.path.length > 1 ? option.long : []))
    requireChanges(request, operation, flags)
    return request
  }
}

/** @throws {FleetError} `BAD_REQUEST` */
function requireChanges(request: Values, { body }: Operation, flags: readonly unknown[]): void {
  if (body === undefined || Object.keys(request[body] as Values).length > 0) return
  throw new FleetError('BAD_REQUEST', `Nothing to change: give at least one of ${flags.join(', ')}`)
}

function fieldsOf({ request, body }: Operation, { nested = [], flags = {} }: RequestForm): Field[] {
  const open = body === undefined ? nested : [body, ...nested]
  const within = (schema: z.ZodType, above: readonly string[]): Field[] =>
    Object.entries((inner(schema) as z.ZodObject).shape as Record<string, z.ZodType>).flatMap(([name, schema]) => {
      const path = [...above, name]
      return open.includes(name) ? within(schema, path) : [{ name, path, schema, form: flags[name] ?? {} }]
    })
  const all = within(request, [])
  const isHidden = ({ name, path }: Field): boolean =>
    all.some((other) => other.name === name && other.path.length < path.length)
  return all.filter((field) => !isHidden(field))
}

async function put(request: Values, field: Field, value: unknown, what: string): Promise<void> {
  if (value === undefined) return
  let place = request
  for (const name of field.path.slice(0, -1)) {
    place[name] ??= {}
    place = place[name] as Values
  }
  place[field.name] = await readValue(field, value, what)
}

async function readValue(field: Field, value: unknown, what: string): Promise<unknown> {
  const { name, schema, form } = field
  const kind = kindOf(schema)
  if ((value === false && kind !== 'flag') || (value === noneOf(field) && value !== undefined)) return null
  if (form.parse !== undefined) return value
  if (kind === 'date') return parseDate(value, what).toISOString()
  if (kind === 'json') return readJson(String(value), what)
  if (kind === 'id') return parseId(value, name).toHexString()
  if (kind === 'ids') return (value as string[]).map((id) => parseId(id, name).toHexString())
  return value
}

type Kind =
  | 'choice'
  | 'choices'
  | 'date'
  | 'duration'
  | 'flag'
  | 'id'
  | 'ids'
  | 'json'
  | 'list'
  | 'name'
  | 'number'
  | 'priority'
  | 'text'

/** How the value of an option is shown and read. */
const KINDS: Record<Kind, { value: string; parse?: (text: string) => unknown }> = {
  choice: { value: 'choice' },
  choices: { value: 'names' },
  date: { value: 'date' },
  duration: { value: 'duration', parse: parseDuration },
  flag: { value: '' },
  id: { value: 'id' },
  ids: { value: 'ids', parse: parseList },
  json: { value: 'json' },
  list: { value: 'names', parse: parseList },
  name: { value: 'name' },
  number: { value: 'n', parse: parseCount },
  priority: { value: '1-10|low|medium|high', parse: parsePriorityText },
  text: { value: 'text' },
}

function kindOf(schema: z.ZodType): Kind {
  const held = inner(schema)
  if (held === shapes.priority) return 'priority'
  if (held === shapes.duration) return 'duration'
  if (held instanceof z.ZodEnum) return 'choice'
  if (held instanceof z.ZodBoolean) return 'flag'
  if (held instanceof z.ZodNumber) return 'number'
  if (held instanceof z.ZodUnion) return 'ids'
  if (held instanceof z.ZodArray) {
    const one = kindOf(held.element as z.ZodType)
    return one === 'choice' ? 'choices' : one === 'id' ? 'ids' : 'list'
  }
  if (!(held instanceof z.ZodString)) return 'json'
  const { title, format } = z.globalRegistry.get(held) ?? {}
  if (title === 'Id') return 'id'
  return format === 'date-time' ? 'date' : held.format === 'regex' ? 'name' : 'text'
}

/** The word for null. In a list it would be a name. */
function noneOf({ schema, form: { none } }: Field): string | undefined {
  return none ?? (isNullable(schema) && !LISTS.has(kindOf(schema)) ? 'none' : undefined)
}

const LISTS: ReadonlySet<Kind> = new Set(['list', 'ids', 'choices'])

const choicesOf = (schema: z.ZodType): readonly string[] => {
  const held = inner(schema)
  return ((held instanceof z.ZodArray ? held.element : held) as z.ZodEnum).options.map(String)
}

function argumentOf(syntax: string, field: Field): Argument {
  const { schema, form } = field
  const argument = new Argument(syntax, helpText(field, 'none'))
  const parse = form.parse ?? (argument.variadic ? undefined : KINDS[kindOf(schema)].parse)
  return parse === undefined ? argument : argument.argParser(unless(noneOf(field), parse))
}

/** The option of a field, and one that removes its value. */
function optionsOf(field: Field, isChange: boolean): Option[] {
  const { name, schema, form } = field
  const { values } = form
  if (values !== undefined) {
    const flags = Object.keys(values)
    return Object.entries(values).map(([flag, does]) =>
      new Option(`--${flag}`, does).conflicts(flags.filter((other) => other !== flag)),
    )
  }
  const kind = kindOf(schema)
  const [usual, shown] = [`--${kebab(name)}`, KINDS[kind].value]
  const none = noneOf(field)
  const negated = isChange && (kind === 'flag' || (isNullable(schema) && (kind === 'date' || LISTS.has(kind))))
  const value = shown === '' ? '' : ` <${shown}${none === undefined || negated ? '' : `|${none}`}>`
  const flag = form.flag ?? `${usual}${value}`
  const negation = flag.replace(/^--(\S+).*/, '--no-$1')
  const option = new Option(flag, helpText(field, negated ? negation : 'none'))
  const choices = kind === 'choice' || kind === 'choices' ? choicesOf(schema) : []
  if (choices.length > 0) option.choices(choices)
  const parse = form.parse ?? (kind === 'choices' ? parseChoices(choices) : KINDS[kind].parse)
  if (parse !== undefined) option.argParser(unless(none, parse))
  if (!negated) return [option]
  return [option, new Option(negation, kind === 'flag' ? `turn ${option.long} off` : `remove what ${option.long} sets`)]
}

/** One or several of these, with commas between. */
export function listChoices(option: Option, choices: readonly string[]): Option {
  return option.choices(choices).argParser(parseChoices(choices))
}

/** Keeps the word for null, since commander would turn null into an empty text. */
const unless =
  (none: string | undefined, parse: (text: string) => unknown) =>
  (text: string): unknown =>
    text === none ? text : parse(text)

const kebab = (name: string): string => name.replace(/^_/, '').replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)

/** The description for the terminal, with the word for `null`. */
function helpText({ schema, form: { description } }: Field, none: string): string {
  if (description !== undefined) return description
  const text = sentence(descriptionOf(schema)).replaceAll('`null`', none).replaceAll('`', '')
  return kindOf(schema) === 'json' && text !== '' ? `${text} (@FILE or - for stdin)` : text
}

function descriptionOf(schema: z.ZodType): string {
  const held = wrappedIn(schema)
  return schema.description ?? (held === undefined ? '' : descriptionOf(held))
}

/** A summary with a small first letter, as in help. */
export const sentence = (text: string): string => text.replace(/^[A-Z](?![A-Z])/, (letter) => letter.toLowerCase())

/** The schema inside an optional or nullable one. */
const wrappedIn = (schema: z.ZodType): z.ZodType | undefined =>
  schema instanceof z.core.$ZodOptional || schema instanceof z.core.$ZodNullable
    ? (schema._zod.def.innerType as z.ZodType)
    : undefined

/** The schema without its optional and nullable wrappers. */
function inner(schema: z.ZodType): z.ZodType {
  const held = wrappedIn(schema)
  return held === undefined ? schema : inner(held)
}

export const isOptional = (schema: z.ZodType): boolean => schema instanceof z.core.$ZodOptional

function isNullable(schema: z.ZodType): boolean {
  const held = wrappedIn(schema)
  return schema instanceof z.core.$ZodNullable || (held !== undefined && isNullable(held))
}
