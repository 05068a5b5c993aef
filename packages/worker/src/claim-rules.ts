import type { Claimant, Hint, Served } from '@taskfleet/core/internal'
import { given } from '@taskfleet/protocol/internal'
import { ClaimLoop } from './claim-loop.ts'
import { LimitedClaims } from './limited-claims.ts'
import type { Worker } from './worker.ts'

/** How many waiting tasks are known at most. */
const HINTS = 800
/** How long to wait before tasks whose starts were used too late are queried again, in case a clock is the reason. */
const LATE_MS = 100

/** The claim loop of a worker. It queries the database again whenever the rules for what may be claimed change. */
export function claimLoopOf(worker: Worker): ClaimLoop {
  const { settings, fleet, feed, queues, running, emit } = worker
  const { store } = fleet
  const { clock } = fleet.database
  const claimant = ({ lost }: Pick<Hint, 'lost'>): Claimant => ({
    worker: worker.session.id,
    host: settings.name,
    queues: settings.queues,
    maxLost: lost,
    places: worker.places.all,
    ...given({ publicBase: worker.gateway?.publicUrl }),
  })
  const onLate = (queue: string): void => {
    setTimeout(() => void worker.loop.refill(`starts of ${queue} were used too late`), LATE_MS).unref()
  }
  return new ClaimLoop({
    store,
    clock,
    log: settings.log,
    claimant,
    served: () => served(worker),
    serves: (hint) => serves(worker, hint),
    free: () => free(worker),
    ...(settings.prefetch === 'auto'
      ? { hints: HINTS, slots: () => worker.load.slots - running.size, mayWait: (hint) => mayWait(worker, hint) }
      : { hints: Math.max(500, 4 * settings.prefetch) }),
    begin: (claim) => running.begin(claim),
    limited: new LimitedClaims({ store, claimant, clock, limits: queues.limits, rates: queues.rates, onLate }),
    onDue: ({ _id, name }) => emit('due', { id: _id.toHexString(), name }),
    onNothingDue: () => running.noteIdle(),
    reportedUntil: () => feed.reportedUntil,
    beforeAsking: async () => {
      await queues.load()
      await worker.session.reconcile()
    },
    refillEvery: settings.refillEvery,
    pollMs: settings.pollMs,
  })
}

function served({ settings, queues, load, places, suspects }: Worker): Served {
  const maxLost = suspects.maxLost()
  const open = [...settings.factories.values()].filter(({ disk }) => load.allows({ lazy: false, folder: disk?.folder }))
  return {
    queues: queues.open,
    tasks: new Map(open.map(({ name, oldestVersion, version }) => [name, { oldest: oldestVersion, newest: version }])),
    lazy: load.gate.lazy,
    affinities: places.affinities,
    ...given({ maxLost }),
  }
}

function serves({ settings, queues, load, suspects }: Worker, { queue, name, version, lazy, lost }: Hint): boolean {
  const factory = settings.factories.get(name)
  if (factory === undefined || version > factory.version || version < factory.oldestVersion) return false
  if (!queues.names.includes(queue) || !queues.isOpen(queue)) return false
  return suspects.mayBegin(lost) && load.allows({ lazy, folder: factory.disk?.folder })
}

/** How many tasks may be claimed ahead of the slots. */
const mostAhead = ({ settings, ahead, load }: Worker): number =>
  settings.prefetch === 'auto' ? ahead!.most(load.slots) : settings.prefetch

/** How many tasks may be claimed. Tasks are claimed ahead in groups of at least half of the allowed number. */
function free(worker: Worker): number {
  const { load, running, mayClaim } = worker
  if (!mayClaim) return 0
  const most = mostAhead(worker)
  const room = load.slots + most - running.size
  return running.size < load.slots || room >= most / 2 ? room : 0
}

/** Whether a task may be claimed that has to wait for a slot. A task that waits must not hold a place in a limited queue. */
function mayWait({ ahead, queues }: Worker, { name, queue, lost }: Hint): boolean {
  return lost === 0 && ahead!.mayWait(name) && !queues.limits.isLimited(queue)
}
