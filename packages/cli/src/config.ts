import { readFileSync, statSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { FleetError } from '@taskfleet/protocol'
import { type Command, InvalidArgumentError, type Option } from 'commander'
import { distance } from 'fastest-levenshtein'
import { type JSONVisitor, parse, printParseErrorCode, visit } from 'jsonc-parser'
import { keyOption } from './address.ts'
import { parseList } from './options.ts'

/** The options that a file may set for every command. */
const COMMON = ['mongo', 'db', 'server', 'key', 'keyFile', 'secret', 'secretFile', 'logLevel', 'json']

interface ConfigFile {
  path: string
  content: Record<string, unknown>
  /** An error at a place in the file. */
  fault(place: readonly string[], message: string): FleetError
}

/** The path of the file, which is read before the rest of the command line. */
export function configPath(argv: readonly string[], env = process.env): string | undefined {
  const end = argv.indexOf('--')
  const options = end < 0 ? argv : argv.slice(0, end)
  const at = options.findLastIndex((word) => word === '--config' || word.startsWith('--config='))
  if (at < 0) return env.TASKFLEET_CONFIG === '' ? undefined : env.TASKFLEET_CONFIG
  const word = options[at]!
  return word === '--config' ? options[at + 1] : word.slice('--config='.length)
}

/**
 * Makes a file's values the defaults of the options of all commands. Flags and the environment override them.
 *
 * @throws {FleetError} `BAD_CONFIG` with file and line
 */
export function applyConfig(program: Command, path: string): void {
  const file = readConfig(path)
  const leaves = leavesOf(program)
  const { commands = {}, ...common } = file.content
  const known = [...COMMON, 'commands']
  for (const [name, value] of Object.entries(common)) {
    if (!COMMON.includes(name)) throw file.fault([name], unknown('key', name, known))
    const wanted = name === 'json' ? 'boolean' : 'string'
    if (typeof value !== wanted) throw file.fault([name], `'${name}' is a ${wanted}, not ${typeName(value)}`)
  }
  refuseRivals(file)
  if (typeof commands !== 'object' || commands === null || Array.isArray(commands)) {
    throw file.fault(['commands'], `'commands' is an object, such as {"list": {"limit": 20}}`)
  }
  for (const command of leaves.values()) {
    for (const [name, value] of Object.entries(common)) {
      const attribute = name === 'key' ? keyOption(command) : name
      const option = command.options.find((one) => one.attributeName() === attribute)
      if (option === undefined) continue
      const given = name.endsWith('File') ? resolve(dirname(file.path), String(value)) : value
      take(command, option, given, (message) => file.fault([name], message))
    }
  }
  for (const [name, values] of Object.entries(commands)) applyTo(leaves, name, values, file)
}

function applyTo(leaves: Map<string, Command>, name: string, values: unknown, file: ConfigFile): void {
  const command = leaves.get(name)
  if (command === undefined) throw file.fault(['commands', name], unknown('command', name, [...leaves.keys()]))
  if (typeof values !== 'object' || values === null || Array.isArray(values)) {
    throw file.fault(['commands', name], `'${name}' is an object with the command's options`)
  }
  const options = command.options.filter((option) => option.attributeName() !== 'config')
  for (const [key, value] of Object.entries(values)) {
    const place = ['commands', name, key]
    const option = options.find((one) => one.attributeName() === key && !one.negate)
    const names = options.map((one) => one.attributeName())
    if (option === undefined) throw file.fault(place, unknown(`option of '${name}'`, key, names))
    take(command, option, value, (message) => file.fault(place, message))
  }
}

/** Reads a value as the text of the option would be read. */
function take(command: Command, option: Option, value: unknown, fault: (message: string) => FleetError): void {
  const attribute = option.attributeName()
  const set = (read: unknown): unknown => command.setOptionValueWithSource(attribute, read, 'config')
  const not = (wanted: string): FleetError => fault(`'${attribute}' is ${wanted}, not ${typeName(value)}`)
  if (option.isBoolean()) {
    if (typeof value !== 'boolean') throw not('true or false')
    set(value)
    return
  }
  const text = textOf(option, value)
  if (text === undefined) throw not(option.parseArg === undefined ? 'a text' : 'a text or a number')
  if (option.parseArg === undefined) {
    set(text)
    return
  }
  try {
    set(option.parseArg(text, undefined))
  } catch (error) {
    if (error instanceof InvalidArgumentError || error instanceof FleetError) {
      throw fault(`'${attribute}': ${error.message}`)
    }
    throw error
  }
}

function textOf({ flags, parseArg }: Option, value: unknown): string | undefined {
  if (typeof value === 'string') return value
  if (flags.includes('<json')) return JSON.stringify(value)
  if (Array.isArray(value) && parseArg !== undefined && value.every((one) => typeof one === 'string')) {
    const text = value.join(',')
    return parseList(text).length === value.length ? text : undefined
  }
  return typeof value === 'number' && parseArg !== undefined ? String(value) : undefined
}

/** @throws {FleetError} `BAD_CONFIG` when two options exclude each other, or when other users can read the key */
function refuseRivals(file: ConfigFile): void {
  for (const [one, other] of [
    ['mongo', 'server'],
    ['key', 'keyFile'],
    ['secret', 'secretFile'],
  ] as const) {
    if (file.content[one] !== undefined && file.content[other] !== undefined) {
      throw file.fault([other], `'${one}' and '${other}' are both given: give one of them`)
    }
  }
  const held = ['key', 'secret'].find((name) => file.content[name] !== undefined)
  if (held === undefined || process.platform === 'win32') return
  if ((statSync(file.path).mode & 0o007) !== 0) {
    throw file.fault(
      [held],
      `every user of this computer can read the ${held}: chmod 600 the file, and create a new ${held} if others may have read it`,
    )
  }
}

/** @throws {FleetError} `BAD_CONFIG` */
function readConfig(path: string): ConfigFile {
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (error) {
    throw new FleetError('BAD_CONFIG', `The file ${path} cannot be read: ${(error as Error).message}`, { cause: error })
  }
  const at = (line: number, message: string): FleetError => new FleetError('BAD_CONFIG', `${path}:${line}: ${message}`)
  const lines = linesOfKeys(text, at)
  const content: unknown = parse(text)
  if (typeof content !== 'object' || content === null || Array.isArray(content)) {
    throw at(1, 'this holds an object, such as {"server": "http://host:4100"}')
  }
  return {
    path,
    content: content as Record<string, unknown>,
    fault: (place, message) => at(lines.get(JSON.stringify(place)) ?? 1, message),
  }
}

/** The line of every key, by its path. @throws what `at` makes when this is not JSON, or when a key is given twice */
function linesOfKeys(text: string, at: (line: number, message: string) => FleetError): Map<string, number> {
  const lines = new Map<string, number>()
  const onObjectProperty: JSONVisitor['onObjectProperty'] = (name, _, __, startLine, ___, path) => {
    const place = JSON.stringify([...path(), name])
    const before = lines.get(place)
    if (before !== undefined) throw at(startLine + 1, `'${name}' is given twice, first in line ${before}`)
    lines.set(place, startLine + 1)
  }
  const onError: JSONVisitor['onError'] = (error, _, __, startLine) => {
    const what = printParseErrorCode(error).replace(/\B[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`)
    throw at(startLine + 1, `not JSON: ${what}`)
  }
  visit(text, { onObjectProperty, onError }, { disallowComments: true })
  return lines
}

/** The commands without subcommands, by their whole name. */
function leavesOf(command: Command, name = ''): Map<string, Command> {
  const below = command.commands.flatMap((one) => [...leavesOf(one, `${name} ${one.name()}`.trim())])
  return new Map(below.length > 0 ? below : [[name, command]])
}

function typeName(value: unknown): string {
  if (value === null) return 'null'
  if (Array.isArray(value)) return 'a list'
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`
}

function unknown(what: string, name: string, names: readonly string[]): string {
  const near = nearest(name, names)
  return `there is no ${what} '${name}'${near === undefined ? `; there are ${names.join(', ')}` : `; did you mean '${near}'?`}`
}

/** The known name that is closest to a mistyped one, if any is close. */
function nearest(name: string, names: readonly string[]): string | undefined {
  const changes = (one: string): number => distance(name.toLowerCase(), one.toLowerCase())
  const [near] = [...names].sort((one, other) => changes(one) - changes(other))
  return near !== undefined && changes(near) <= Math.max(2, Math.floor(name.length / 3)) ? near : undefined
}
