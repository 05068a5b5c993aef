import { SCOPES } from '@taskfleet/core'
import { FleetError, type KeyRow } from '@taskfleet/protocol'
import type { CommandKit } from './kit.ts'
import { operationCommand } from './operation-commands.ts'
import { parseList } from './options.ts'

const flags = { expiresAt: { flag: '--expires <date>' }, scopes: { parse: parseScopes } }

/** The commands on keys. */
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
    summary: 'create a key; prints its token, which is shown this once',
    arguments: {},
    flags,
    defaults: { scopes: ['read'] },
    text: ({ token }) => token,
  })
  operationCommand(kit, 'keys', 'edit', { flags, text: ({ id }) => `${id}  changed` })
}

/** @throws {FleetError} `BAD_SCOPE` */
function parseScopes(text: string): string[] {
  return parseList(text).map((scope) => {
    const known = SCOPES.find((one) => one === scope)
    if (known === undefined) throw new FleetError('BAD_SCOPE', `'${scope}' is no scope: ${SCOPES.join(', ')} are`)
    return known
  })
}

function limitsText({ queues, names }: KeyRow): string {
  return [
    ...(queues === undefined ? [] : [`queues ${queues.join(',')}`]),
    ...(names === undefined ? [] : [`names ${names.join(',')}`]),
  ].join('; ')
}
