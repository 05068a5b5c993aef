import { Fleet, newSigningKey, type SigningAlgorithm, type SigningOptions } from '@taskfleet/core'
import { type Bed, median } from './bed.ts'
import { drain } from './drain.bench.ts'

const SIZE = 2_000
const ROUNDS = 9

/** What do signatures cost a drain of no-op tasks? In turns with one that neither signs nor verifies. */
export async function run(bed: Bed): Promise<void> {
  const signed = async (algorithm: SigningAlgorithm): Promise<{ fleet: Fleet; signing: SigningOptions }> => {
    const { key, trusted } = newSigningKey(algorithm)
    const signing = { mode: 'required', key, trusted: [trusted] } as const
    const fleet = await Fleet.connect(bed.uri, { signing })
    bed.defer(() => fleet.close())
    return { fleet, signing }
  }
  const ways = {
    none: undefined,
    hmac: await signed('hmac'),
    ed25519: await signed('ed25519'),
    'ed25519-batch': await signed('ed25519-batch'),
  }
  const rates = new Map<string, number[]>(Object.keys(ways).map((name) => [name, []]))
  for (let round = 0; round < ROUNDS; round += 1) {
    for (const [name, way] of Object.entries(ways)) {
      const { fleet, signing } = { ...bed, signing: undefined, ...way }
      rates.get(name)!.push(await drain({ uri: bed.uri, fleet }, SIZE, { signing }))
    }
  }
  const none = rates.get('none')!
  for (const [name, each] of rates) {
    // What else runs on the machine changes from round to round, and is the same within one.
    const ratio = median(each.map((rate, round) => rate / none[round]!))
    const cost = name === 'none' ? '' : `, ${(100 * (1 - ratio)).toFixed(1)} % less`
    process.stdout.write(`${SIZE} tasks, ${name}: ${median(each).toFixed(0)} a second${cost}\n`)
  }
}
