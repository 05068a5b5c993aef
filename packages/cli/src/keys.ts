import { newSigningKey, SCOPES, type SigningAlgorithm } from '@taskfleet/core'
import { SIGNING_ALGORITHMS } from '@taskfleet/core/internal'
import { FleetError, type KeyRow } from '@taskfleet/protocol'
import { Option } from 'commander'
import { EXIT } from './exit.ts'
import type { CommandKit } from './kit.ts'
import { operationCommand } from './operation-commands.ts'
import { parseList } from './options.ts'

const flags = { expiresAt: { flag: '--expires <date>' }, scopes: { parse: parseScopes } }

export function keyCommands(kit: CommandKit): void {
  operationCommand(kit, 'keys', 'list', {
    columns: {
      ID: (key) => key.id,
      STATE: (key) => key.state,
      SCOPES: (key) => key.scopes.join(','),
      NAME: (key) => key.name,
      ONLY: limitsText,
      EXPIRES: (key) => key.expiresAt,
    },
  })
  operationCommand(kit, 'keys', 'create', {
    summary: 'create a key; prints its token, which is shown only once',
    arguments: {},
    flags,
    defaults: { scopes: ['read'] },
    text: ({ token }) => token,
  })
  operationCommand(kit, 'keys', 'edit', { flags, text: ({ id }) => `${id}  changed` })
  kit
    .json('signing-key', 'create a key that signs tasks, and the key that workers trust; neither is stored')
    .addOption(
      new Option(
        '--algorithm <name>',
        'with Ed25519, the key that verifies can not sign; ed25519-batch costs workers least, and needs workers of this version',
      )
        .choices(SIGNING_ALGORITHMS)
        .default('ed25519-batch'),
    )
    .option('--id <name>', 'its name in signatures')
    .action(
      kit.act(async (options: { algorithm: SigningAlgorithm; id?: string; json?: boolean }) =>
        signingKey(options, kit),
      ),
    )
}

function signingKey(
  { algorithm, id, json }: { algorithm: SigningAlgorithm; id?: string; json?: boolean },
  { print }: CommandKit,
): number {
  const made = newSigningKey(algorithm, id)
  if (json === true) print(JSON.stringify(made))
  else {
    print(`TASKFLEET_SIGNING_KEY=${made.key}`)
    print(`TASKFLEET_TRUSTED_KEYS=${made.trusted}`)
  }
  return EXIT.done
}

/** @throws {FleetError} `BAD_SCOPE` */
function parseScopes(text: string): string[] {
  return parseList(text).map((scope) => {
    const known = SCOPES.find((one) => one === scope)
    if (known === undefined)
      throw new FleetError('BAD_SCOPE', `'${scope}' is not a scope; the scopes are ${SCOPES.join(', ')}`)
    return known
  })
}

function limitsText({ queues, names }: KeyRow): string {
  return [
    ...(queues === undefined ? [] : [`queues ${queues.join(',')}`]),
    ...(names === undefined ? [] : [`names ${names.join(',')}`]),
  ].join('; ')
}
