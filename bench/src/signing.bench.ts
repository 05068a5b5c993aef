import { Fleet, newSigningKey, type SigningOptions } from '@taskfleet/core'
import { median, openBed } from './bed.ts'
import { drain } from './drain.bench.ts'

const SIZE = 2_000
const AHEAD = 180
const ROUNDS = 5

/** What do signatures cost a drain of no-op tasks? In turns with one that neither signs nor verifies. */
export async function run(): Promise<void> {
  const bed = await openBed()
  const signed = async (algorithm: 'hmac' | 'ed25519'): Promise<{ fleet: Fleet; signing: SigningOptions }> => {
    const { key, trusted } = newSigningKey(algorithm)
    const signing = { mode: 'required', key, trusted: [trusted] } as const
    return { fleet: await Fleet.connect(bed.uri, { signing }), signing }
  }
  const ways = { none: undefined, hmac: await signed('hmac'), ed25519: await signed('ed25519') }
  try {
    const rates = new Map<string, number[]>(Object.keys(ways).map((name) => [name, []]))
    for (let round = 0; round < ROUNDS; round += 1) {
      for (const [name, way] of Object.entries(ways)) {
        rates.get(name)!.push(await drain({ uri: bed.uri, fleet: way?.fleet ?? bed.fleet }, SIZE, AHEAD, way?.signing))
      }
    }
    const none = median(rates.get('none')!)
    for (const [name, each] of rates) {
      const cost = name === 'none' ? '' : `, ${(100 * (1 - median(each) / none)).toFixed(1)} % less`
      process.stdout.write(`${SIZE} tasks, ${name}: ${median(each).toFixed(0)} a second${cost}\n`)
    }
  } finally {
    await ways.hmac?.fleet.close()
    await ways.ed25519?.fleet.close()
    await bed.close()
  }
}
