import { FleetError } from '@taskfleet/protocol'
import { MAJORITY } from './client-options.ts'

/** The default name of the fleet's database. */
const DEFAULT_NAME = 'taskfleet'
/** MongoDB's own databases. They have no change streams, and other rules apply. */
const RESERVED = new Set(['admin', 'config', 'local'])
/** https://www.mongodb.com/docs/manual/reference/limits/#naming-restrictions */
const BAD_CHARACTERS = /[/\\. "$\0]/u
const LONGEST_NAME = 63
const REMEDY = 'Set the name of the database with --db, TASKFLEET_DB or the path of the address'

/** Matches the parts of an address that are read here. The driver reads the rest. */
const ADDRESS = /^mongodb(?:\+srv)?:\/\/(?:([^/?]*)@)?[^/?]*(?:\/([^?]*))?(?:\?(.*))?$/s

/**
 * The name of the fleet's database: the requested one, or else `TASKFLEET_DB`, the path of the address, or `taskfleet`.
 *
 * The path is also where the user's password is kept. `mongodb://user:password@host/admin` is the usual form of that, so with a
 * user the path `/admin` names no database of the fleet.
 *
 * @throws {FleetError} `BAD_DATABASE_NAME`
 */
export function databaseName(uri: string, asked?: string, env: NodeJS.ProcessEnv = process.env): string {
  const chosen = asked || env.TASKFLEET_DB
  const name = chosen || nameInPath(uri) || DEFAULT_NAME
  refuseName(name)
  return name
}

function nameInPath(uri: string): string {
  const [, user, path = ''] = ADDRESS.exec(uri) ?? []
  const name = decoded(path)
  return name === 'admin' && user !== undefined ? '' : name
}

function decoded(path: string): string {
  try {
    return decodeURIComponent(path)
  } catch (error) {
    throw badName(path, 'is not correctly percent-encoded', error)
  }
}

function refuseName(name: string): void {
  if (RESERVED.has(name)) throw badName(name, 'is reserved for MongoDB itself')
  const bad = BAD_CHARACTERS.exec(name)?.[0]
  if (bad !== undefined) throw badName(name, `contains ${JSON.stringify(bad)}, which MongoDB doesn't allow`)
  const bytes = Buffer.byteLength(name)
  if (bytes > LONGEST_NAME) throw badName(name, `has ${bytes} bytes, but MongoDB allows only ${LONGEST_NAME}`)
}

function badName(name: string, why: string, cause?: unknown): FleetError {
  const shown = name.length > LONGEST_NAME ? `${name.slice(0, LONGEST_NAME)}…` : name
  return new FleetError('BAD_DATABASE_NAME', `The database name '${shown}' ${why}. ${REMEDY}`, { field: 'db', cause })
}

/** Options that break the guarantees of `MAJORITY`, with the reason for each. */
const WEAK: readonly { names: readonly string[]; bad: (value: string) => boolean; why: string }[] = [
  {
    names: ['wtimeoutMS', 'wtimeout'],
    bad: (value) => value !== '0',
    why: 'a write would be confirmed before a majority has it',
  },
  {
    names: ['journal', 'j'],
    bad: (value) => value === 'false',
    why: 'a write would be confirmed before it is on a disk',
  },
]

/** Rejects an address with options that break a fleet's guarantees. @throws {FleetError} `NEEDS_MAJORITY` */
export function refuseWeakOptions(uri: string): void {
  const options = optionsOf(uri)
  for (const [name, value] of Object.entries(MAJORITY)) {
    const given = options.get(name.toLowerCase())
    if (given === undefined || given === String(value)) continue
    throw needsMajority(name, `The database's address has ${name}=${given}, but a fleet needs ${name}=${value}`)
  }
  for (const { names, bad, why } of WEAK) {
    for (const name of names) {
      const given = options.get(name.toLowerCase())
      if (given === undefined || !bad(given)) continue
      throw needsMajority(name, `The database's address has ${name}=${given}. With it, ${why}. Remove it`)
    }
  }
}

/** Whether an address connects to one member only, without the rest of its set. */
export const isDirect = (uri: string): boolean => optionsOf(uri).get('directconnection') === 'true'

export const needsMajority = (field: string, message: string): FleetError =>
  new FleetError('NEEDS_MAJORITY', message, { field })

/** The options by lower-case names. As in the driver, the first value counts if an option is given twice. */
function optionsOf(uri: string): ReadonlyMap<string, string> {
  const [, , , query = ''] = ADDRESS.exec(uri) ?? []
  const pairs = [...new URLSearchParams(query)].map(([name, value]): [string, string] => [name.toLowerCase(), value])
  return new Map(pairs.reverse())
}
