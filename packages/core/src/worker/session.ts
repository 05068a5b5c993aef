import type { mongo } from 'mongoose'
import { amount, type Expression, fromNow, hasCome, literals, millis, NOW } from '../task/server-time.ts'
import type { WorkerDocument, WorkerReport } from './worker-model.ts'

/**
 * A session shows that one worker process is alive. It is one document, renewed by one write no matter how many tasks run. The
 * leases of all its tasks are valid as long as the session.
 */
export const ALIVE = ['running', 'draining'] as const satisfies readonly WorkerDocument['state'][]

const FORGOTTEN_AFTER_MS = 24 * 3_600_000
/** How many heartbeats of an earlier version's worker may be missing. */
const BEATS_MISSED = 3

export const isAlive = ({ state }: Pick<WorkerDocument, 'state'>): boolean =>
  (ALIVE as readonly string[]).includes(state)

/** The filter of every write by the session itself: an ended session can't be opened again. */
export function sessionGuard(id: string): mongo.Filter<WorkerDocument> {
  return { _id: id, state: { $in: [...ALIVE] } }
}

/** The update of a renewal. It doesn't write the state, because a delayed report must not undo a request to drain. */
export function renewalUpdate({ state: _, ...report }: WorkerReport): mongo.Document[] {
  return [{ $set: reported(report) }]
}

/** As `renewalUpdate`, with the state: for the first write, changes of the state, and the last write. */
export function beatUpdate({ state, ...report }: WorkerReport): mongo.Document[] {
  return [
    {
      $set: {
        ...reported(report),
        state,
        startedAt: { $ifNull: ['$startedAt', NOW] },
        stoppedAt: state === 'stopped' ? NOW : '$$REMOVE',
      },
    },
  ]
}

function reported({ gate, url, disks, ...always }: Omit<WorkerReport, 'state'>): Record<string, Expression> {
  return {
    ...literals({ ...always, url, gate, disks }),
    heartbeatAt: NOW,
    until: fromNow(always.leaseMs),
    expireAt: fromNow(FORGOTTEN_AFTER_MS),
    rev: { $add: [amount('$rev'), 1] },
  }
}

/** Ends a session that has not been renewed in time by the server's clock. Any other session stays unchanged. */
export function endUpdate(): mongo.Document[] {
  const asBefore = { $add: [millis('$heartbeatAt', 0), { $multiply: [amount('$heartbeatMs'), BEATS_MISSED] }] }
  const over = {
    $cond: [{ $eq: [{ $type: '$until' }, 'date'] }, hasCome('$until'), { $lte: [asBefore, { $toLong: NOW }] }],
  }
  return [
    {
      $set: {
        state: { $cond: [over, 'dead', '$state'] },
        stoppedAt: { $cond: [over, NOW, '$stoppedAt'] },
        rev: { $add: [amount('$rev'), { $cond: [over, 1, 0] }] },
      },
    },
  ]
}

/** Whether a session has not been renewed in time, so that others may end it. */
export const isSilent = (worker: Pick<WorkerDocument, 'heartbeatAt' | 'leaseMs' | 'heartbeatMs'>, now: Date): boolean =>
  now.getTime() - worker.heartbeatAt.getTime() >= silenceMs(worker)

/** For how long a session may be silent before it can be ended, in milliseconds. */
export const silenceMs = ({ leaseMs, heartbeatMs }: Pick<WorkerDocument, 'leaseMs' | 'heartbeatMs'>): number =>
  leaseMs ?? BEATS_MISSED * heartbeatMs
