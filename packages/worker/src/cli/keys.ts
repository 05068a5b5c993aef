import { FleetError, KeyStore, SCOPES, type Scope } from '@taskfleet/core'
import { EXIT } from './exit.ts'
import type { CommandKit, Print } from './kit.ts'
import { type CommonOptions, parseList } from './options.ts'
import { printable, printableJson, table } from './text.ts'
import { withFleet } from './with-fleet.ts'

export function keyCommands(kit: CommandKit): void {
  const { act, print } = kit
  const keys = kit.group('keys', 'make, list and revoke keys; with the first one the fleet is locked')
  kit
    .json('create', 'make a key; prints its token, this once', keys)
    .requiredOption('--name <name>', 'what it is for')
    .option('--scopes <scopes>', `what it may do: ${SCOPES.join(', ')}`, parseList, ['read'])
    .option('--queues <names>', 'only tasks in these queues', parseList)
    .option('--names <names>', 'only tasks of these names', parseList)
    .option('--expires <date>', 'opens nothing from then on; never by default')
    .action(act((options: CreateKeyCommand) => createKey(options, print)))
  kit
    .json('list', 'every key, without its secret', keys)
    .action(act((options: CommonOptions) => listKeys(options, print)))
  kit
    .json('revoke', 'end a key and the connections that it opened', keys)
    .argument('<id>')
    .action(act((id: string, options: CommonOptions) => revokeKey(id, options, print)))
}

interface CreateKeyCommand extends CommonOptions {
  name: string
  scopes: string[]
  queues?: string[]
  names?: string[]
  expires?: string
}

/** `taskfleet keys create`: prints the token, this once. @throws {FleetError} `BAD_SCOPE`, `BAD_DATE` */
function createKey(options: CreateKeyCommand, print: Print): Promise<number> {
  const { name, queues, names, expires } = options
  const scopes = options.scopes.map((scope): Scope => {
    const known = SCOPES.find((one) => one === scope)
    if (known === undefined) throw new FleetError('BAD_SCOPE', `'${scope}' is no scope: ${SCOPES.join(', ')} are`)
    return known
  })
  const expiresAt = expires === undefined ? undefined : new Date(expires)
  if (expiresAt !== undefined && Number.isNaN(expiresAt.getTime())) {
    throw new FleetError('BAD_DATE', `'${expires}' is not a date: an ISO 8601 text is`)
  }
  return withFleet(options, async ({ database }) => {
    const made = await new KeyStore(database.db).create({
      name,
      scopes,
      ...(queues === undefined ? {} : { queues }),
      ...(names === undefined ? {} : { names }),
      ...(expiresAt === undefined ? {} : { expiresAt }),
    })
    print(options.json === true ? JSON.stringify(made) : made.token)
    return EXIT.done
  })
}

/** `taskfleet keys list` */
function listKeys(options: CommonOptions, print: Print): Promise<number> {
  return withFleet(options, async ({ database }) => {
    const keys = await new KeyStore(database.db, () => database.clock.now()).list()
    if (options.json === true) print(printableJson(keys))
    else {
      const state = ({ revokedAt, expiresAt }: (typeof keys)[number]): string =>
        revokedAt !== undefined
          ? 'revoked'
          : expiresAt !== undefined && expiresAt <= database.clock.now()
            ? 'expired'
            : 'good'
      const cells = keys.map((key) => [key._id, state(key), key.scopes.join(','), printable(key.name)])
      print(table(['ID', 'STATE', 'SCOPES', 'NAME'], cells))
    }
    return EXIT.done
  })
}

/** `taskfleet keys revoke ID`: open connections with it are closed within seconds. */
function revokeKey(id: string, options: CommonOptions, print: Print): Promise<number> {
  return withFleet(options, async ({ database }) => {
    const known = await new KeyStore(database.db, () => database.clock.now()).revoke(id)
    if (!known) throw new FleetError('NOT_FOUND', `There is no key '${printable(id)}'`, { field: 'id' })
    print(options.json === true ? JSON.stringify({ id, revoked: true }) : `${id}  revoked`)
    return EXIT.done
  })
}
