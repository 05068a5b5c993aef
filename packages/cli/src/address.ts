import { closeSync, fstatSync, openSync, readSync, type Stats } from 'node:fs'
import { FleetError } from '@taskfleet/protocol'
import type { Command } from 'commander'
import type { CommonOptions, OptionSource, RankedOption } from './options.ts'

/** The options of `FleetDatabase.connect`. */
export interface DatabaseAddress {
  uri: string
  name: string | undefined
}

export type Address = { mongo: string } | { server: string }

/** The source with the lowest rank wins. */
const RANK: Record<OptionSource, number> = { cli: 0, env: 1, config: 2 }
const KEY_BYTES = 4_096
const ELSEWHERE = 'give it by TASKFLEET_KEY, --key-file FILE, or --key - to read it from stdin'

/** Sets the option `sources`: where each part of the address came from. */
export function noteSources(command: Command): void {
  const from = (name: string): OptionSource | undefined => {
    const source = command.getOptionValueSource(name)
    return source !== undefined && source in RANK ? (source as OptionSource) : undefined
  }
  const names = ['mongo', 'server', 'keyFile', 'secret', 'secretFile']
  const key = from(keyOption(command))
  const sources = { ...Object.fromEntries(names.map((name) => [name, from(name)])), key }
  command.setOptionValueWithSource('sources', sources, 'implied')
  if (key === 'cli' && command.getOptionValue(keyOption(command)) !== '-') {
    process.stderr.write(
      `taskfleet: every user of this computer can read the key in the list of processes: ${ELSEWHERE}\n`,
    )
  }
}

export const keyOption = (command: Command): 'key' | 'serverKey' =>
  command.options.some((option) => option.attributeName() === 'serverKey') ? 'serverKey' : 'key'

/** @returns the rank of the source of an option; undefined when it is not given */
export function rankOf(
  options: CommonOptions & Partial<Record<RankedOption, string>>,
  name: RankedOption,
): number | undefined {
  const given = options[name]
  if (given === undefined || given === '') return undefined
  return RANK[options.sources?.[name] ?? 'cli']
}

/** The address of the database. @throws {FleetError} `NO_ADDRESS`, `NEEDS_DATABASE` */
function mongoUri(options: CommonOptions): string {
  const [mongo, server] = [rankOf(options, 'mongo'), rankOf(options, 'server')]
  if (mongo !== undefined && server !== RANK.cli) return options.mongo!
  if (mongo === RANK.cli) throw bothGiven()
  if (server !== undefined) {
    const message = 'This command needs the database: give --mongo mongodb://… instead of --server'
    throw new FleetError('NEEDS_DATABASE', message)
  }
  throw new FleetError('NO_ADDRESS', 'No database is given: give --mongo mongodb://… or set TASKFLEET_MONGO_URI')
}

/** The database with its name. @throws {FleetError} as `mongoUri` */
export const databaseOf = (options: CommonOptions): DatabaseAddress => ({ uri: mongoUri(options), name: options.db })

/** @throws {FleetError} `NO_ADDRESS`, `BAD_REQUEST`, `BAD_CONFIG` */
export function addressOf(options: CommonOptions): Address {
  const [mongo, server] = [rankOf(options, 'mongo'), rankOf(options, 'server')]
  if (mongo === undefined && server === undefined) {
    const message =
      'No fleet is given: give --mongo mongodb://… or --server http://…, or set TASKFLEET_MONGO_URI or TASKFLEET_SERVER'
    throw new FleetError('NO_ADDRESS', message)
  }
  if (mongo === server) {
    if (mongo === RANK.cli) throw bothGiven()
    const message = 'TASKFLEET_MONGO_URI and TASKFLEET_SERVER are both set: choose one with --mongo or --server'
    throw new FleetError('BAD_CONFIG', message)
  }
  return (mongo ?? Number.POSITIVE_INFINITY) < (server ?? Number.POSITIVE_INFINITY)
    ? { mongo: options.mongo! }
    : { server: options.server! }
}

const bothGiven = (): FleetError => new FleetError('BAD_REQUEST', 'Give --mongo or --server, not both')

/**
 * The key for a gateway, or undefined where none is given.
 *
 * @throws {FleetError} `BAD_REQUEST`, `BAD_KEY_FILE`
 */
export async function tokenOf(options: CommonOptions): Promise<string | undefined> {
  const [key, file] = [rankOf(options, 'key'), rankOf(options, 'keyFile')]
  if (key !== undefined && key === file) throw new FleetError('BAD_REQUEST', 'Give --key or --key-file, not both')
  if (file !== undefined && file < (key ?? Number.POSITIVE_INFINITY)) return readKeyFile(options.keyFile!)
  if (key === undefined) return undefined
  return options.key === '-' ? readKeyFrom(process.stdin) : options.key
}

/** A key from stdin. @throws {FleetError} `BAD_REQUEST` */
export async function readKeyFrom(stdin: AsyncIterable<unknown>): Promise<string> {
  let text = ''
  for await (const chunk of stdin) {
    text += String(chunk)
    if (text.includes('\n') || text.length > KEY_BYTES) break
  }
  const key = text.split('\n')[0]!.trim()
  if (key === '' || key.length > KEY_BYTES)
    throw new FleetError('BAD_REQUEST', "'--key -' reads the key from stdin, as one line")
  return key
}

/** A key from a file that other users can't read. @throws {FleetError} `BAD_KEY_FILE` */
export function readKeyFile(path: string): string {
  const kind: PrivateFile = { what: 'key', code: 'BAD_KEY_FILE', made: 'taskfleet keys create' }
  const text = readPrivateFile(path, kind)
  const bad = fault(path, kind)
  const remedy = 'write the key into it, as one line'
  if (text.includes('\r')) throw bad('has line ends as on Windows', `sed -i 's/\\r$//' ${path}`)
  const key = text.replace(/\n+$/, '')
  if (key.trim() === '') throw bad('is empty', remedy)
  if (/\s/.test(key)) throw bad('holds more than one key', remedy)
  return key
}

interface PrivateFile {
  /** What the file holds. */
  what: 'key' | 'secret'
  code: string
  /** The command that makes one. */
  made: string
}

const fault =
  (path: string, { what, code }: PrivateFile) =>
  (problem: string, remedy: string): FleetError =>
    new FleetError(code, `The ${what} file ${path} ${problem}: ${remedy}`)

/** The text of a small file that other users can't read. @throws {FleetError} with the code of its kind */
export function readPrivateFile(path: string, kind: PrivateFile): string {
  const { what, made } = kind
  const bad = fault(path, kind)
  try {
    const file = openSync(path, 'r')
    try {
      refuseUnlessPrivate(fstatSync(file), what, bad)
      const buffer = Buffer.alloc(KEY_BYTES + 1)
      const length = readSync(file, buffer)
      if (length > KEY_BYTES) throw bad(`has more than ${KEY_BYTES} bytes`, `give the file with the ${what}`)
      return buffer.toString('utf8', 0, length)
    } finally {
      closeSync(file)
    }
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    if (error instanceof FleetError) throw error
    if (code === 'ENOENT') throw bad('does not exist', `create it with the ${what} that \`${made}\` prints`)
    if (code === 'EACCES') throw bad('cannot be read', 'it must belong to the user who runs this command')
    throw bad(`cannot be read (${message})`, 'give a file')
  }
}

function refuseUnlessPrivate(
  stats: Stats,
  what: PrivateFile['what'],
  bad: (problem: string, remedy: string) => FleetError,
): void {
  if (stats.isDirectory()) throw bad('is a directory', 'give the file in it')
  if (!stats.isFile())
    throw bad('is not a file', what === 'key' ? 'give a file, or pipe the key to --key -' : 'give a file')
  if (process.platform !== 'win32' && (stats.mode & 0o007) !== 0) {
    throw bad(
      'can be read by every user of this computer',
      `chmod 600 it, and create a new ${what} if others may have read it`,
    )
  }
}
