import type { KeyStore } from '@taskfleet/core'
import { parseSecrets, secretId, WEAK_SECRET } from '@taskfleet/core/internal'
import { FleetError, type WorkerRow } from '@taskfleet/protocol'
import { type SecretOptions, secretOf } from './secret.ts'

type Signer = Pick<WorkerRow, 'name' | 'secretIds'>

const NAMED = 3

/**
 * The id of this computer's secret, to compare with those in use; undefined when none is given here.
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
 * Checks that all processes that sign and verify tokens have the same secret.
 *
 * @param signers live gateways and workers; those that report no ids are left out
 * @throws {FleetError} `SECRET_MISMATCH`, with the processes that refuse each other's tokens
 */
export function secretText(signers: readonly Signer[], own?: Signer): string {
  const reporting = signers.filter(({ secretIds }) => secretIds !== undefined)
  const named = reporting.toSorted((one, other) => one.name.localeCompare(other.name))
  const all = own === undefined ? named : [...named, own]
  const refused = all.flatMap((signer) =>
    all.filter((other) => !knows(other, signer)).map((other) => `${other.name} refuses what ${signer.name} signs`),
  )
  if (refused.length > 0) {
    const more = refused.length > NAMED ? ` and ${refused.length - NAMED} more` : ''
    const remedy = 'give all gateways and workers of the fleet the same TASKFLEET_SECRET'
    const message = `SECRET_MISMATCH: ${refused.slice(0, NAMED).join(', ')}${more}: ${remedy}`
    throw new FleetError('SECRET_MISMATCH', message)
  }
  if (reporting.length === 0) return 'no gateway and no listening worker is running'
  if (reporting.some(({ secretIds }) => secretIds?.length === 0)) return `WEAK_SECRET: ${WEAK_SECRET}`
  return `the same at ${reporting.length === 1 ? 'the one process that signs' : `all ${reporting.length} processes that sign`}`
}

/** Whether one process accepts the tokens that another signs. Without a secret both use the one in the database. */
function knows(other: Signer, signer: Signer): boolean {
  const [first] = signer.secretIds ?? []
  return first === undefined ? other.secretIds?.length === 0 : other.secretIds?.includes(first) === true
}
