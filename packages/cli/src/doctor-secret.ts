import type { KeyStore } from '@taskfleet/core'
import { parseSecrets, secretId, WEAK_SECRET } from '@taskfleet/core/internal'
import { FleetError, type WorkerRow } from '@taskfleet/protocol'
import { type SecretOptions, secretOf } from './secret.ts'

type Signer = Pick<WorkerRow, 'name' | 'secretIds'>

const NAMED = 3

/**
 * This computer's secret among those that are in use, by its id; undefined where none is given here.
 *
 * @throws {FleetError} as `secretOf`
 */
export async function ownSigner(options: SecretOptions, keys: KeyStore): Promise<Signer | undefined> {
  const secrets = parseSecrets(secretOf(options))
  const stored = await keys.storedTicketSecret()
  if (secrets.length === 0 || stored === undefined) return undefined
  return { name: 'this computer', secretIds: secrets.map((secret) => secretId(secret, stored)) }
}

/**
 * Whether all that sign and verify tokens have the same secret.
 *
 * @param signers live gateways and workers; those that tell no ids of secrets take no part
 * @throws {FleetError} `SECRET_MISMATCH`, naming who refuses whose tokens
 */
export function secretText(signers: readonly Signer[], own?: Signer): string {
  const telling = signers.filter(({ secretIds }) => secretIds !== undefined)
  const named = telling.toSorted((one, other) => one.name.localeCompare(other.name))
  const all = own === undefined ? named : [...named, own]
  const refused = all.flatMap((signer) =>
    all.filter((other) => !knows(other, signer)).map((other) => `${other.name} refuses what ${signer.name} signs`),
  )
  if (refused.length > 0) {
    const more = refused.length > NAMED ? ` and ${refused.length - NAMED} more` : ''
    throw new FleetError(
      'SECRET_MISMATCH',
      `SECRET_MISMATCH: ${refused.slice(0, NAMED).join(', ')}${more}: give all gateways and workers of the fleet the same TASKFLEET_SECRET`,
    )
  }
  if (telling.length === 0) return 'no gateway and no worker that listens is running'
  if (telling.some(({ secretIds }) => secretIds?.length === 0)) return `WEAK_SECRET: ${WEAK_SECRET}`
  return `the same at ${telling.length === 1 ? 'the one process that signs' : `all ${telling.length} processes that sign`}`
}

/** Whether one verifies what another signs now. Without a secret both rest on what the database holds. */
function knows(other: Signer, signer: Signer): boolean {
  const [first] = signer.secretIds ?? []
  return first === undefined ? other.secretIds?.length === 0 : other.secretIds?.includes(first) === true
}
