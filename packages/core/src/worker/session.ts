import type { mongo } from 'mongoose'
import { amount, type Expression, fromNow, hasCome, literals, millis, NOW } from '../task/server-time.ts'
import type { WorkerDocument, WorkerReport } from './worker-model.ts'

/**
 * A session is one worker process's claim to be alive: one document, renewed by one write for whatever runs. The leases of all
 * its tasks are good for as long as it lives.
 */
export const ALIVE = ['running', 'draining'] as const satisfies readonly WorkerDocument['state'][]

const FORGOTTEN_AFTER_MS = 24 * 3_600_000
/** How many heartbeats of an earlier version's worker may be missing. */
const BEATS_MISSED = 3

export const isAlive = ({ state }: Pick<WorkerDocument, 'state'>): boolean =>
  (ALIVE as readonly string[]).includes(state)

/** The filter of every write of the session's own: once it was ended, nothing brings it back. */
export function sessionGuard(id: string): mongo.Filter<WorkerDocument> {
  return { _id: id, state: { $in: [...ALIVE] } }
}

/** What a renewal writes. Whether the worker drains is decided elsewhere: a report that was on its way must not undo it. */
export function renewalUpdate({ state: _, ...report }: WorkerReport): mongo.Document[] {
  return [{ $set: reported(report) }]
}

/** The same with the state, for the first write, changes of state and the last one. */
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

function reported({ gate, url, ...always }: Omit<WorkerReport, 'state'>): Record<string, Expression> {
  return {
    ...literals({ ...always, url, gate }),
    heartbeatAt: NOW,
    until: fromNow(always.leaseMs),
    expireAt: fromNow(FORGOTTEN_AFTER_MS),
    rev: { $add: [amount('$rev'), 1] },
  }
}

/** Ends a session that has not been renewed in time by the server's clock; any other stays as it is. */
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

/** For how long a session may be silent before it can be ended, in milliseconds. */
export const silenceMs = ({ leaseMs, heartbeatMs }: Pick<WorkerDocument, 'leaseMs' | 'heartbeatMs'>): number =>
  leaseMs ?? BEATS_MISSED * heartbeatMs
