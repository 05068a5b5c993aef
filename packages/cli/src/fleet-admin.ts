import { setTimeout as sleep } from 'node:timers/promises'
import { DEFAULT_MAX_WAITING, limitsText, QUERY_LIMITS } from '@taskfleet/core/internal'
import { durationText, FleetError, type QueueRow, shortDuration, type WorkerRow } from '@taskfleet/protocol'
import { EXIT } from './exit.ts'
import type { FleetView } from './fleet-view.ts'
import type { CommandKit } from './kit.ts'
import { operationCommand } from './operation-commands.ts'
import { parseCount, parseRate } from './options.ts'
import { bytes, printable, printableJson } from './text.ts'

export function fleetCommands(kit: CommandKit): void {
  workerCommands(kit)
  queueCommands(kit)
}

function workerCommands(kit: CommandKit): void {
  const list = operationCommand(kit, 'workers', 'list', {
    summary: 'list workers and gateways: what they run, their load, what they serve',
    async call(_, __, { view, options: { all } }) {
      const now = view.now()
      const rows = (await workerRows(view)).filter(({ state }) => all === true || state !== 'stopped')
      return rows.map((worker) => ({ ...worker, live: isLive(worker, now) }))
    },
    columns: {
      NAME: (worker) => worker.name,
      ID: (worker) => worker._id.slice(0, 8),
      HOST: (worker) => worker.host,
      // It has died without reporting its end.
      STATE: ({ state, live }) => (state !== 'stopped' && !live ? 'gone' : state),
      SLOTS: ({ role, running, slots }) => (role === 'gateway' ? 'gateway' : `${running}/${slots}`),
      GATE: gateText,
      LOAD: loadText,
      SERVES: (worker) => worker.tasks.join(', '),
      SEEN: ({ heartbeatAt }, now) => `${durationText(Math.max(0, now - Date.parse(heartbeatAt)), { least: 's' })} ago`,
    },
  })
  list.option('--all', 'include workers that stopped within a day')
  const text = (worker: { _id: string; name: string; state: string }): string =>
    `${printable(worker.name)} (${worker._id.slice(0, 8)})  ${worker.state}`
  const flags = { worker: { description: 'its name, its id, or the beginning of its id' } }
  const drain = operationCommand(kit, 'workers', 'drain', {
    summary: 'let a worker claim nothing new; running tasks go on',
    flags,
    async run({ workers }, { worker }, { view, options: { wait, json } }) {
      const interrupted = new AbortController()
      if (wait === true) process.once('SIGINT', () => interrupted.abort())
      const { _id, name } = await findWorker(view, worker)
      await workers.drain(_id)
      if (wait === true) await untilNothingRuns(view, _id, interrupted.signal)
      if (interrupted.signal.aborted) return EXIT.interrupted
      const drained = { _id, name, state: wait === true ? 'drained' : 'draining' }
      kit.print(json === true ? printableJson(drained) : text(drained))
      return EXIT.done
    },
  })
  drain.option('--wait', 'wait until nothing runs there')
  operationCommand(kit, 'workers', 'resume', {
    summary: 'let a drained worker claim tasks again',
    flags,
    async call({ workers }, { worker }, { view }) {
      const { _id, name } = await findWorker(view, worker)
      await workers.resume(_id)
      return { _id, name, state: 'running' }
    },
    text,
  })
}

const workerRows = (view: FleetView): Promise<WorkerRow[]> =>
  view.rows({ collection: 'workers', sort: { name: 1 }, limit: QUERY_LIMITS.rows })

/** How many heartbeats a worker may miss before it counts as dead. */
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

const LOOK_MS = 500

/** A claim may still be under way when the worker reports that it drains, so two checks in a row must find nothing. */
async function untilNothingRuns(view: FleetView, id: string, signal: AbortSignal): Promise<void> {
  for (let quiet = 0; quiet < 2 && !signal.aborted; ) {
    const [[worker], running] = await Promise.all([
      view.rows({ collection: 'workers', filter: { _id: id }, limit: 1 }),
      view.rows({ collection: 'tasks', filter: { status: 'running', worker: id }, limit: 1, fields: ['status'] }),
    ])
    const drains = worker === undefined || worker.state !== 'running' || !isLive(worker, view.now())
    quiet = drains && running.length === 0 ? quiet + 1 : 0
    if (quiet < 2) await sleep(LOOK_MS, undefined, { signal }).catch(() => undefined)
  }
}

/** The worker with this id, beginning of an id, or name. @throws {FleetError} `NOT_FOUND`, `AMBIGUOUS` */
async function findWorker(view: FleetView, wanted: string): Promise<WorkerRow> {
  const known = await workerRows(view)
  const working = known.filter(({ role, state }) => role === 'worker' && state !== 'stopped')
  const exact = working.find(({ _id }) => _id === wanted)
  if (exact !== undefined) return exact
  const meant = working.filter(({ _id, name }) => name === wanted || (wanted !== '' && _id.startsWith(wanted)))
  // A worker that has died may still have the same name.
  const alive = meant.filter((worker) => isLive(worker, view.now()))
  const [found, another] = alive.length > 0 ? alive : meant
  if (found === undefined) {
    throw new FleetError('NOT_FOUND', `There is no running worker '${wanted}': see taskfleet workers`)
  }
  if (another !== undefined) {
    const ids = (alive.length > 0 ? alive : meant).map(({ _id }) => _id.slice(0, 8)).join(', ')
    throw new FleetError('AMBIGUOUS', `'${wanted}' matches several workers: give one of the ids ${ids}`)
  }
  return found
}

/** A queue with its settings and counts. */
interface QueueState extends Partial<QueueRow> {
  _id: string
  paused: boolean
  /** Can be claimed now or at their dates. */
  waiting: number
  running: number
  /** Tasks that are paused or blocked. */
  held: number
}

function queueCommands(kit: CommandKit): void {
  operationCommand(kit, 'queues', 'list', {
    summary: 'every queue with tasks or settings',
    call: (_, __, { view }) => queueStates(view),
    columns: {
      QUEUE: (queue) => queue._id,
      WAITING: (queue) => queue.waiting,
      RUNNING: (queue) => queue.running,
      HELD: (queue) => queue.held,
      LIMIT: (queue) => queue.concurrency,
      RATE: ({ rate }) => (rate === undefined ? '' : `${rate.limit}/${shortDuration(rate.per)}`),
      DEPTH: (queue) => queue.maxWaiting,
      PAUSED: ({ paused, by = '', reason }) =>
        paused ? `paused by ${by}${reason === undefined ? '' : `: ${reason}`}` : 'no',
    },
  })
  const text = ({ _id, paused }: QueueRow): string => `${printable(_id)}  ${paused ? 'paused' : 'resumed'}`
  operationCommand(kit, 'queues', 'pause', { text })
  operationCommand(kit, 'queues', 'resume', { text })
  const limit = (verb: string, argument: string, field: string, summary: string): void => {
    operationCommand(kit, 'queues', 'limit', {
      name: `queues ${verb}`,
      summary,
      arguments: { '<name>': 'name', [`<${argument}|none>`]: field },
      nested: ['limits'],
      hide: ['concurrency', 'rate', 'maxWaiting'],
      flags: {
        concurrency: { parse: parseCount, none: 'none', description: 'none for no limit' },
        rate: { parse: parseRate, none: 'none', description: 'starts in any period of that length; none for no limit' },
        maxWaiting: { parse: parseCount, none: 'none', description: `none for the default, ${DEFAULT_MAX_WAITING}` },
      },
      text: (_, { name, limits }) => `${printable(name)}  ${limitsText(limits)}`,
    })
  }
  limit('limit', 'n', 'concurrency', 'limit how many tasks of a queue run at once in the whole fleet')
  limit(
    'rate',
    'n/time',
    'rate',
    'limit how many tasks of a queue start within a time, such as 100/1m, in the whole fleet',
  )
  limit('depth', 'n', 'maxWaiting', 'limit how many tasks may wait in a queue; more are refused with QUEUE_FULL')
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
