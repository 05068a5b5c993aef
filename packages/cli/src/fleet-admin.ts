import { setTimeout as sleep } from 'node:timers/promises'
import { DEFAULT_MAX_WAITING, limitsText, QUERY_LIMITS } from '@taskfleet/core/internal'
import {
  durationText,
  FleetError,
  type QueueLimits,
  type QueueRow,
  shortDuration,
  type WorkerRow,
} from '@taskfleet/protocol'
import { EXIT } from './exit.ts'
import type { FleetView } from './fleet-view.ts'
import { type CommandKit, LISTS, type Print } from './kit.ts'
import { type CommonOptions, parseLimit, parseRate } from './options.ts'
import { bytes, printable, printableJson, table } from './text.ts'
import { withFleet } from './with-fleet.ts'

/** The commands about workers and queues as a whole. */
export function fleetCommands(kit: CommandKit): void {
  const { act, print } = kit
  kit
    .json('workers', 'every worker and gateway: what it runs, how loaded it is, what it serves')
    .option('--all', 'also those that have stopped, for a day')
    .action(act((options: WorkersCommand) => workers(options, print)))
  kit
    .json('drain', 'let a worker take nothing new; it goes on with what it runs')
    .argument('<worker>', 'its name, its id, or how its id begins')
    .option('--wait', 'until nothing runs there')
    .action(act((worker: string, options: DrainCommand) => drain(worker, options, print)))
  kit
    .json('undrain', 'let a drained worker take tasks again')
    .argument('<worker>', 'its name, its id, or how its id begins')
    .action(act((worker: string, options: CommonOptions) => undrain(worker, options, print)))
  const queues = kit
    .group('queues', 'what waits and runs in each queue; pause, resume and limit them')
    .addHelpText('after', LISTS)
  kit
    .json('list', 'every queue that has tasks or a word said about it', queues, { isDefault: true })
    .action(act((options: CommonOptions) => listQueues(options, print)))
  kit
    .json('pause', 'claim nothing of a queue; what runs goes on', queues)
    .argument('<name>')
    .option('--reason <text>', 'for the record, and for those who ask why')
    .action(act((name: string, options: QueueCommand) => setPaused(name, 'pause', options, print)))
  kit
    .json('resume', 'claim again', queues)
    .argument('<name>')
    .option('--reason <text>', 'for the record')
    .action(act((name: string, options: QueueCommand) => setPaused(name, 'resume', options, print)))
  kit
    .json('limit', 'how many of a queue run at once in the whole fleet', queues)
    .argument('<name>')
    .argument('<n|none>', 'at most so many; none for no limit', parseLimit)
    .action(
      act((name: string, concurrency: number | null, options: CommonOptions) =>
        setLimits(name, { concurrency }, options, print),
      ),
    )
  kit
    .json('rate', 'how many of a queue start within a time in the whole fleet', queues)
    .argument('<name>')
    .argument('<n/time|none>', 'at most so many in any span of the time, such as 100/1m; none for no limit', parseRate)
    .action(
      act((name: string, rate: NonNullable<QueueLimits['rate']> | null, options: CommonOptions) =>
        setLimits(name, { rate }, options, print),
      ),
    )
  kit
    .json('depth', 'how many tasks may wait in a queue; more are refused with QUEUE_FULL', queues)
    .argument('<name>')
    .argument('<n|none>', `at most so many; none for the usual ${DEFAULT_MAX_WAITING}`, parseLimit)
    .action(
      act((name: string, maxWaiting: number | null, options: CommonOptions) =>
        setLimits(name, { maxWaiting }, options, print),
      ),
    )
}

interface WorkersCommand extends CommonOptions {
  all?: boolean
}

/** `taskfleet workers` */
function workers({ all = false, ...options }: WorkersCommand, print: Print): Promise<number> {
  return withFleet(options, async (_, view) => {
    const now = view.now()
    const shown = (await workerRows(view))
      .filter(({ state }) => all || state !== 'stopped')
      .map((worker) => ({ ...worker, live: isLive(worker, now) }))
    if (options.json === true) print(printableJson(shown))
    else {
      const cells = shown.map((worker) => [
        printable(worker.name),
        worker._id.slice(0, 8),
        printable(worker.host ?? ''),
        // Silent for too long without a goodbye.
        worker.state !== 'stopped' && !worker.live ? 'gone' : worker.state,
        worker.role === 'gateway' ? 'gateway' : `${worker.running}/${worker.slots}`,
        gateText(worker),
        loadText(worker),
        printable(worker.tasks.join(', ')),
        `${durationText(Math.max(0, now - Date.parse(worker.heartbeatAt)), { least: 's' })} ago`,
      ])
      print(table(['NAME', 'ID', 'HOST', 'STATE', 'SLOTS', 'GATE', 'LOAD', 'SERVES', 'SEEN'], cells))
    }
    return EXIT.done
  })
}

const workerRows = (view: FleetView): Promise<WorkerRow[]> =>
  view.rows({ collection: 'workers', sort: { name: 1 }, limit: QUERY_LIMITS.rows })

/** How many heartbeats a worker may miss before it counts as gone. */
const BEATS_MISSED = 3

const isLive = ({ state, heartbeatAt, heartbeatMs }: WorkerRow, now: number): boolean =>
  (state === 'running' || state === 'draining') && now - Date.parse(heartbeatAt) < BEATS_MISSED * heartbeatMs

function gateText({ gate }: WorkerRow): string {
  if (gate === undefined) return ''
  const state = !gate.open ? 'closed' : gate.lazy ? 'open' : 'closed to lazy'
  return gate.reason === undefined ? state : `${state}: ${printable(gate.reason)}`
}

function loadText({ load }: WorkerRow): string {
  const percent = (part: number): string => `${Math.round(part * 100)} %`
  return [
    load.hostCpu === undefined ? `${load.cpu.toFixed(1)} cpus` : `cpu ${percent(load.hostCpu)}`,
    load.memoryLeft === undefined ? bytes(load.rss) : `memory ${percent(load.memoryLeft)} left`,
    `delay ${Math.round(load.eventLoopDelayMs)} ms`,
  ].join(', ')
}

interface DrainCommand extends CommonOptions {
  wait?: boolean
}

const LOOK_MS = 500

/** `taskfleet drain WORKER` */
function drain(wanted: string, options: DrainCommand, print: Print): Promise<number> {
  const interrupted = new AbortController()
  if (options.wait === true) process.once('SIGINT', () => interrupted.abort())
  return withFleet(options, async (fleet, view) => {
    const { _id, name } = await findWorker(view, wanted)
    await fleet.workers.drain(_id)
    let state = 'draining'
    if (options.wait === true) {
      await untilNothingRuns(view, _id, interrupted.signal)
      if (interrupted.signal.aborted) return EXIT.interrupted
      state = 'drained'
    }
    tellWorker({ _id, name, state }, options, print)
    return EXIT.done
  })
}

/** `taskfleet undrain WORKER` */
function undrain(wanted: string, options: CommonOptions, print: Print): Promise<number> {
  return withFleet(options, async (fleet, view) => {
    const { _id, name } = await findWorker(view, wanted)
    await fleet.workers.resume(_id)
    tellWorker({ _id, name, state: 'running' }, options, print)
    return EXIT.done
  })
}

function tellWorker(worker: { _id: string; name: string; state: string }, options: CommonOptions, print: Print): void {
  const { _id, name, state } = worker
  print(options.json === true ? printableJson(worker) : `${printable(name)} (${_id.slice(0, 8)})  ${state}`)
}

/** A claim may still be on its way when the worker says that it drains: quiet twice in a row is quiet. */
async function untilNothingRuns(view: FleetView, id: string, signal: AbortSignal): Promise<void> {
  for (let quiet = 0; quiet < 2 && !signal.aborted; ) {
    const [[worker], running] = await Promise.all([
      view.rows({ collection: 'workers', filter: { _id: id }, limit: 1 }),
      view.rows({ collection: 'tasks', filter: { status: 'running', worker: id }, limit: 1, fields: ['status'] }),
    ])
    const heeds = worker === undefined || worker.state !== 'running' || !isLive(worker, view.now())
    quiet = heeds && running.length === 0 ? quiet + 1 : 0
    if (quiet < 2) await sleep(LOOK_MS, undefined, { signal }).catch(() => undefined)
  }
}

/** The worker that a person means. @throws {FleetError} `NOT_FOUND`, `AMBIGUOUS` */
async function findWorker(view: FleetView, wanted: string): Promise<WorkerRow> {
  const known = await workerRows(view)
  const working = known.filter(({ role, state }) => role === 'worker' && state !== 'stopped')
  const exact = working.find(({ _id }) => _id === wanted)
  if (exact !== undefined) return exact
  const meant = working.filter(({ _id, name }) => name === wanted || (wanted !== '' && _id.startsWith(wanted)))
  // One that died without a goodbye has its name still.
  const alive = meant.filter((worker) => isLive(worker, view.now()))
  const [found, another] = alive.length > 0 ? alive : meant
  if (found === undefined) {
    throw new FleetError('NOT_FOUND', `There is no worker '${wanted}', or it has stopped: see taskfleet workers`)
  }
  if (another !== undefined) {
    const ids = (alive.length > 0 ? alive : meant).map(({ _id }) => _id.slice(0, 8)).join(', ')
    throw new FleetError('AMBIGUOUS', `'${wanted}' may be several workers; say which by its id: ${ids}`)
  }
  return found
}

/** What there is in one queue. */
interface QueueState extends Partial<QueueRow> {
  _id: string
  paused: boolean
  /** Ready to be claimed now or at its date. */
  waiting: number
  running: number
  /** Paused or blocked, each task by itself. */
  held: number
}

/** `taskfleet queues` */
function listQueues(options: CommonOptions, print: Print): Promise<number> {
  return withFleet(options, async (_, view) => {
    const rows = await queueStates(view)
    if (options.json === true) print(printableJson(rows))
    else {
      const cells = rows.map(
        ({ _id, waiting, running, held, concurrency, rate, maxWaiting, paused, by = '', reason }) => [
          printable(_id),
          String(waiting),
          String(running),
          String(held),
          concurrency === undefined ? '' : String(concurrency),
          rate === undefined ? '' : `${rate.limit}/${shortDuration(rate.per)}`,
          maxWaiting === undefined ? '' : String(maxWaiting),
          paused ? `paused by ${printable(by)}${reason === undefined ? '' : `: ${printable(reason)}`}` : 'no',
        ],
      )
      print(table(['QUEUE', 'WAITING', 'RUNNING', 'HELD', 'LIMIT', 'RATE', 'DEPTH', 'PAUSED'], cells))
    }
    return EXIT.done
  })
}

async function queueStates(view: FleetView): Promise<QueueState[]> {
  const [counts, known, workers] = await Promise.all([
    view.queueCounts(),
    view.rows({ collection: 'queues', limit: QUERY_LIMITS.rows }),
    workerRows(view),
  ])
  const rows = new Map<string, QueueState>()
  const none = { paused: false, waiting: 0, running: 0, held: 0 }
  const now = view.now()
  const served = workers.filter((worker) => isLive(worker, now)).flatMap(({ queues }) => queues)
  for (const _id of served) rows.set(_id, { _id, ...none })
  for (const queue of known) rows.set(queue._id, { ...none, ...queue })
  for (const [_id, { pending = 0, running = 0, paused = 0, blocked = 0 }] of Object.entries(counts)) {
    if (pending + running + paused + blocked === 0) continue
    rows.set(_id, { ...none, ...rows.get(_id), _id, waiting: pending, running, held: paused + blocked })
  }
  return [...rows.values()].sort((a, b) => a._id.localeCompare(b._id))
}

/** `taskfleet queues limit|rate|depth NAME …|none` */
function setLimits(queue: string, limits: QueueLimits, options: CommonOptions, print: Print): Promise<number> {
  return withFleet(options, async ({ queues }) => {
    const row = await queues.limit({ name: queue, limits })
    print(options.json === true ? printableJson(row) : `${printable(queue)}  ${limitsText(limits)}`)
    return EXIT.done
  })
}

interface QueueCommand extends CommonOptions {
  reason?: string
}

/** `taskfleet queues pause|resume NAME` */
function setPaused(
  queue: string,
  action: 'pause' | 'resume',
  { reason, ...options }: QueueCommand,
  print: Print,
): Promise<number> {
  return withFleet(options, async (fleet) => {
    const row = await fleet.queues[action]({ name: queue, ...(reason === undefined ? {} : { reason }) })
    print(options.json === true ? printableJson(row) : `${printable(row._id)}  ${row.paused ? 'paused' : 'resumed'}`)
    return EXIT.done
  })
}
