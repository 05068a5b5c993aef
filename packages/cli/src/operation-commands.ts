import { parseDate, parseId } from '@taskfleet/core/internal'
import { type CommandAnswer, type FleetOperations, OPERATIONS, type Operation } from '@taskfleet/protocol'
import { shapes } from '@taskfleet/protocol/internal'
import { type Command, Option } from 'commander'
import { z } from 'zod'
import { sentence, tell } from './commands.ts'
import { EXIT } from './exit.ts'
import type { CommandKit, Print } from './kit.ts'
import { type CommonOptions, parseCount, parseList, readJson } from './options.ts'
import { fieldLines, printable, printableJson, table } from './text.ts'
import { withFleet } from './with-fleet.ts'

type Values = Record<string, unknown>
type Method = (request: Values) => Promise<unknown>
type Fields = Record<string, z.ZodType>

/** A command for every operation of the table that has none written for it. */
export function operationCommands(program: Command, kit: CommandKit): void {
  for (const [aggregate, verbs] of Object.entries(OPERATIONS)) {
    for (const [verb, operation] of Object.entries(verbs as Record<string, Operation>)) {
      if (operation.cli !== null) addCommand(program, kit, { aggregate, verb, operation })
    }
  }
}

interface Named {
  aggregate: string
  verb: string
  operation: Operation
}

function addCommand(program: Command, kit: CommandKit, { aggregate, verb, operation }: Named): void {
  const words = operation.cli!.split(' ')
  const last = words.pop()!
  const below = (parent: Command, name: string): Command | undefined =>
    parent.commands.find((command) => command.name() === name)
  const group = words.reduce((parent, word) => below(parent, word) ?? kit.group(word, aggregate), program)
  if (below(group, last) !== undefined) return
  const summary = sentence(operation.summary)
  const command = kit.json(last, summary, group === program ? undefined : group)
  const { argument, take } = requestOf(command, aggregate, operation)
  const run = async (word: string | undefined, options: CommonOptions & Values): Promise<number> => {
    const request = await take(word, options)
    return withFleet(options, async (fleet) => {
      const answer = await methodOf(fleet, aggregate, verb)(request)
      return show(answer, { aggregate, verb, operation }, word ?? '', options, kit.print)
    })
  }
  if (argument === undefined) command.action(kit.act((options: CommonOptions & Values) => run(undefined, options)))
  else
    command
      .argument(`<${argument}>`)
      .action(kit.act((word: string, options: CommonOptions & Values) => run(word, options)))
}

const methodOf = (fleet: FleetOperations, aggregate: string, verb: string): Method =>
  (fleet as unknown as Record<string, Record<string, Method>>)[aggregate]![verb]!

interface CommandRequest {
  /** What stands behind the command's name. */
  argument: string | undefined
  take(word: string | undefined, options: Values): Promise<Values>
}

/** The field that names one thing is the argument; the others are options, described as their schema is. */
function requestOf(command: Command, aggregate: string, { request, by, body }: Operation): CommandRequest {
  const whole = (request as z.ZodObject).shape as Fields
  const first = by ?? ['id', 'name', 'worker', 'fingerprint'].find((name) => Object.hasOwn(whole, name))
  const inside = body === undefined ? {} : ((whole[body] as z.ZodObject).shape as Fields)
  const own = Object.entries(whole).filter(([name]) => name !== first && name !== body)
  const all: Fields = { ...Object.fromEntries(own), ...inside }
  for (const [name, schema] of Object.entries(all)) command.addOption(optionOf(name, schema))
  return {
    argument: first === 'name' && aggregate === 'schedules' ? 'schedule' : first,
    async take(word, options) {
      const named = first === undefined ? {} : { [first]: isId(whole[first]!) ? parseId(word).toHexString() : word }
      const given: Values = {}
      const changes: Values = {}
      for (const [name, schema] of Object.entries(all)) {
        if (options[name] === undefined) continue
        const value = await readOption(name, schema, options[name])
        if (Object.hasOwn(inside, name)) changes[name] = value
        else given[name] = value
      }
      return { ...named, ...given, ...(body === undefined ? {} : { [body]: changes }) }
    },
  }
}

type Kind = 'date' | 'text' | 'number' | 'flag' | 'list' | 'choice' | 'json'

const isId = (schema: z.ZodType): boolean => z.globalRegistry.get(inner(schema))?.title === 'Id'

/** What a schema holds when it is there. */
function inner(schema: z.ZodType): z.ZodType {
  return schema instanceof z.core.$ZodOptional || schema instanceof z.core.$ZodNullable
    ? inner(schema._zod.def.innerType as z.ZodType)
    : schema
}

function kindOf(schema: z.ZodType): Kind {
  const held = inner(schema)
  if (held instanceof z.ZodEnum) return 'choice'
  if (held instanceof z.ZodBoolean) return 'flag'
  if (held instanceof z.ZodNumber) return 'number'
  if (held instanceof z.ZodArray) return 'list'
  if (held instanceof z.ZodString) return z.globalRegistry.get(held)?.format === 'date-time' ? 'date' : 'text'
  return held instanceof z.ZodUnion ? 'text' : 'json'
}

function optionOf(name: string, schema: z.ZodType): Option {
  const kind = kindOf(schema)
  const flag = `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`
  const says = sentence(schema.description ?? inner(schema).description ?? `another ${name}`)
  const value = {
    date: ' <date>',
    text: ' <text>',
    number: ' <n>',
    flag: '',
    list: ' <names>',
    choice: ` <${name}>`,
    json: ' <json>',
  }[kind]
  const option = new Option(flag + value, says)
  if (kind === 'number') option.argParser(parseCount)
  if (kind === 'list') option.argParser(parseList)
  if (kind === 'choice') option.choices((inner(schema) as z.ZodEnum).options.map(String))
  return option
}

async function readOption(name: string, schema: z.ZodType, said: unknown): Promise<unknown> {
  if (said === 'none' && schema instanceof z.core.$ZodOptional && schema._zod.def.innerType instanceof z.ZodNullable)
    return null
  const kind = kindOf(schema)
  if (kind === 'date') return parseDate(said, `--${name}`).toISOString()
  if (kind === 'json') return readJson(String(said), `--${name}`)
  return kind === 'text' && /^\d+$/.test(String(said)) && inner(schema) instanceof z.ZodUnion ? Number(said) : said
}

function show(
  answer: unknown,
  { aggregate, verb, operation }: Named,
  word: string,
  options: CommonOptions,
  print: Print,
): number {
  const json = options.json === true
  if (operation.answer === shapes.commandAnswer) return tell(answer as CommandAnswer, { json, dryRun: false }, print)
  if (answer === undefined) {
    const done = `${verb.replace(/e$/, '')}ed`
    print(json ? printableJson({ [idOf(aggregate)]: word, [done]: true }) : `${printable(word)}  ${done}`)
  } else if (json) print(printableJson(answer))
  else if (Array.isArray(answer)) print(tableOf(answer as Values[]))
  else print(fieldLines(answer as object))
  return EXIT.done
}

/** What the rows of an aggregate call their id. */
function idOf(aggregate: string): string {
  const { show } = OPERATIONS[aggregate as keyof typeof OPERATIONS] as { show?: Operation }
  return show?.answer instanceof z.ZodObject && 'id' in show.answer.shape ? 'id' : '_id'
}

const COLUMNS = 6

function tableOf(rows: readonly Values[]): string {
  const columns = Object.keys(rows[0] ?? {}).slice(0, COLUMNS)
  const cell = (value: unknown): string =>
    value === undefined ? '' : typeof value === 'string' ? printable(value) : printableJson(value)
  return table(
    columns.map((column) => column.toUpperCase()),
    rows.map((row) => columns.map((column) => cell(row[column]))),
  )
}
