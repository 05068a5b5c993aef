import { type ChildProcess, fork } from 'node:child_process'
import { loadavg } from 'node:os'
import { fileURLToPath } from 'node:url'
import { CommandTap } from '@taskfleet/testkit/command-tap'
import { type Bed, median, storeTasks } from './bed.ts'

const ROUNDS = 7
const PHASES = ['process', 'modules', 'handler', 'started'] as const
type Phase = (typeof PHASES)[number]

/** How long from the start of a process to the handler of a waiting task, and how many commands does it send until then? */
export async function run(bed: Bed): Promise<void> {
  const { tap, uri } = await CommandTap.start(bed)
  // The first worker of a database sets it up.
  await once(bed, 'worker', uri, () => undefined)
  for (const kind of ['driver', 'worker'] as const) {
    const rounds: Record<Phase, number>[] = []
    const commands: number[] = []
    for (let round = 0; round < ROUNDS; round += 1) {
      tap.take()
      const onHandler = (): number =>
        commands.push([...tap.take().commands.values()].reduce((sum, count) => sum + count, 0))
      rounds.push(await once(bed, kind, uri, onHandler))
    }
    const at = (phase: Phase): string => `${phase} ${median(rounds.map((one) => one[phase])).toFixed(0)} ms`
    process.stdout.write(
      `${kind === 'driver' ? 'the driver alone' : 'a worker'}: ${PHASES.map(at).join(', ')}; ${median(commands)} commands; load average ${loadavg()[0]!.toFixed(1)}\n`,
    )
  }
}

/** @returns when each phase was reached, in milliseconds after the fork */
async function once(
  bed: Bed,
  kind: 'driver' | 'worker',
  uri: string,
  onHandler: () => unknown,
): Promise<Record<Phase, number>> {
  await storeTasks(bed.fleet, 1, { name: 'start-up', queue: 'start-up', input: {} })
  const { NODE_OPTIONS: _, ...env } = process.env
  const forkedAt = Date.now()
  const child = fork(fileURLToPath(new URL('./start-up-child.mjs', import.meta.url)), [kind, uri], {
    env,
    execArgv: [],
  })
  try {
    return await phasesOf(child, forkedAt, onHandler)
  } finally {
    child.kill('SIGKILL')
  }
}

function phasesOf(child: ChildProcess, forkedAt: number, onHandler: () => unknown): Promise<Record<Phase, number>> {
  return new Promise((resolve, reject) => {
    const reached: Partial<Record<Phase, number>> = {}
    child.on('exit', (code) => reject(new Error(`the process ended with ${code}`)))
    child.on('message', ({ phase, at }: { phase: Phase; at: number }) => {
      reached[phase] = at - forkedAt
      if (phase === 'handler') onHandler()
      if (PHASES.every((one) => reached[one] !== undefined)) resolve(reached as Record<Phase, number>)
    })
  })
}
