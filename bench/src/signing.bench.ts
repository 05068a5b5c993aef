import { Fleet, newSigningKey, type SigningAlgorithm, type SigningOptions } from '@taskfleet/core'
import { type Bed, median } from './bed.ts'
import { fillWithEnded, measuredDrain } from './drain.bench.ts'

const SIZE = 8_000
const ROUNDS = 8

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
  const all = Object.entries(ways)
  const found = new Map<string, { rate: number; cpuUs: number }[]>(all.map(([name]) => [name, []]))
  for (let round = 0; round <= ROUNDS; round += 1) {
    // In a random order, since a drain may pay for what the one before has left.
    for (const [name, way] of shuffled(all)) {
      const { fleet, signing } = { ...bed, signing: undefined, ...way }
      await fillWithEnded(bed, 0)
      const drained = await measuredDrain({ ...bed, fleet }, SIZE, { signing })
      // In the first round the code is not compiled yet.
      if (round > 0) found.get(name)!.push(drained)
    }
  }
  const none = found.get('none')!
  for (const [name, each] of found) {
    // What else runs on the machine changes from round to round, and is the same within one.
    const slower = 1 - median(each.map(({ rate }, round) => rate / none[round]!.rate))
    const dearer = median(each.map(({ cpuUs }, round) => cpuUs / none[round]!.cpuUs)) - 1
    const cost = name === 'none' ? '' : `: ${percent(slower)} less a second, ${percent(dearer)} more CPU time`
    const [rate, cpuUs] = [median(each.map((one) => one.rate)), median(each.map((one) => one.cpuUs))]
    process.stdout.write(
      `${SIZE} tasks, ${name}: ${rate.toFixed(0)} a second, ${cpuUs.toFixed(0)} µs of CPU time each${cost}\n`,
    )
  }
}

const shuffled = <T>(all: readonly T[]): T[] =>
  all
    .map((one) => [Math.random(), one] as const)
    .sort(([a], [b]) => a - b)
    .map(([, one]) => one)

const percent = (part: number): string => `${(100 * part).toFixed(1)} %`
