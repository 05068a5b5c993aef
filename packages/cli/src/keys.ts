import { SCOPES } from '@taskfleet/core'
import { parseDate } from '@taskfleet/core/internal'
import { FleetError, type KeyEdit, type KeyRow } from '@taskfleet/protocol'
import { type Command, Option } from 'commander'
import { EXIT } from './exit.ts'
import { type CommandKit, LISTS, type Print } from './kit.ts'
import { type CommonOptions, parseList } from './options.ts'
import { printable, printableJson, table } from './text.ts'
import { withFleet } from './with-fleet.ts'

export function keyCommands(kit: CommandKit): void {
  const { act, print } = kit
  const keys = kit
    .group('keys', 'make, list, change and revoke keys; with the first one the fleet is locked')
    .addHelpText(
      'after',
      `${LISTS}\nThrough a gateway they need a key with the scope admin, where there is any key yet.`,
    )
  const described = (command: Command): Command =>
    command
      .addOption(new Option('--queues <names>', 'only tasks in these queues').argParser(parseList))
      .addOption(new Option('--names <names>', 'only tasks of these names').argParser(parseList))
      .addOption(new Option('--expires <date>', 'opens nothing from then on; never by default'))
  kit
    .json('list', 'every key, without its secret', keys, { isDefault: true })
    .action(act((options: CommonOptions) => listKeys(options, print)))
  described(kit.json('create', 'make a key; prints its token, this once', keys))
    .requiredOption('--name <name>', 'what it is for')
    .option('--scopes <scopes>', `what it may do: ${SCOPES.join(', ')}`, parseScopes, ['read'])
    .action(act((options: CreateKeyCommand) => createKey(options, print)))
  described(kit.json('edit', 'change what a key may, within a second on the connections that it opened', keys))
    .argument('<id>')
    .option('--name <name>', 'what it is for')
    .option('--scopes <scopes>', `what it may do: ${SCOPES.join(', ')}`, parseScopes)
    .option('--no-queues', 'tasks in all queues')
    .option('--no-names', 'tasks of all names')
    .option('--no-expires', 'never ends by itself')
    .action(act((id: string, options: EditKeyCommand) => editKey(id, options, print)))
}

/** @throws {FleetError} `BAD_SCOPE` */
function parseScopes(text: string): string[] {
  return parseList(text).map((scope) => {
    const known = SCOPES.find((one) => one === scope)
    if (known === undefined) throw new FleetError('BAD_SCOPE', `'${scope}' is no scope: ${SCOPES.join(', ')} are`)
    return known
  })
}

interface CreateKeyCommand extends CommonOptions {
  name: string
  scopes: string[]
  queues?: string[]
  names?: string[]
  expires?: string
}

/** `taskfleet keys create`: prints the token, this once. @throws {FleetError} `BAD_DATE` */
function createKey(options: CreateKeyCommand, print: Print): Promise<number> {
  const { name, scopes, queues, names, expires } = options
  const request = {
    name,
    scopes,
    ...(queues === undefined ? {} : { queues }),
    ...(names === undefined ? {} : { names }),
    ...(expires === undefined ? {} : { expiresAt: endOf(expires) }),
  }
  return withFleet(options, async ({ keys }) => {
    const made = await keys.create(request)
    print(options.json === true ? JSON.stringify(made) : made.token)
    return EXIT.done
  })
}

const endOf = (text: string): string => parseDate(text, '--expires').toISOString()

/** `taskfleet keys` */
function listKeys(options: CommonOptions, print: Print): Promise<number> {
  return withFleet(options, async ({ keys }) => {
    const rows = await keys.list()
    if (options.json === true) print(printableJson(rows))
    else {
      const cells = rows.map((key) => [
        key.id,
        key.state,
        key.scopes.join(','),
        printable(key.name),
        printable(limitsText(key)),
        key.expiresAt ?? '',
      ])
      print(table(['ID', 'STATE', 'SCOPES', 'NAME', 'ONLY', 'EXPIRES'], cells))
    }
    return EXIT.done
  })
}

function limitsText({ queues, names }: KeyRow): string {
  return [
    ...(queues === undefined ? [] : [`queues ${queues.join(',')}`]),
    ...(names === undefined ? [] : [`names ${names.join(',')}`]),
  ].join('; ')
}

interface EditKeyCommand extends CommonOptions {
  name?: string
  scopes?: string[]
  /** False takes the limit away. */
  queues?: string[] | false
  names?: string[] | false
  expires?: string | false
}

/** `taskfleet keys edit ID`: what is not named stays as it is. @throws {FleetError} `BAD_REQUEST`, `BAD_DATE` */
function editKey(id: string, options: EditKeyCommand, print: Print): Promise<number> {
  const { name, scopes, queues, names, expires } = options
  const changes: KeyEdit = {
    ...(name === undefined ? {} : { name }),
    ...(scopes === undefined ? {} : { scopes }),
    ...(queues === undefined ? {} : { queues: queues === false ? null : queues }),
    ...(names === undefined ? {} : { names: names === false ? null : names }),
    ...(expires === undefined ? {} : { expiresAt: expires === false ? null : endOf(expires) }),
  }
  if (Object.keys(changes).length === 0) {
    throw new FleetError(
      'BAD_REQUEST',
      'Say what changes: --name, --scopes, --queues, --names or --expires (see --help)',
    )
  }
  return withFleet(options, async ({ keys }) => {
    const row = await keys.edit({ id, changes })
    print(options.json === true ? printableJson(row) : `${row.id}  changed`)
    return EXIT.done
  })
}
