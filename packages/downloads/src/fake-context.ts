import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { type AbortCode, AttemptAborted } from '@taskfleet/protocol'
import type { HandlerContext, Task } from '@taskfleet/worker'
import type { DownloadInput } from './contract.ts'

/** What the attempts of one task share: its id and what the database would hold. */
export interface FakeTask {
  id: string
  attempts: number
  saved: unknown
}

export const fakeTask = (): FakeTask => ({
  id: randomUUID().replaceAll('-', '').slice(0, 24),
  attempts: 0,
  saved: undefined,
})

/** One attempt as a runner would give it to the handler, with its ends in the test's hands. */
export interface FakeAttempt {
  context: HandlerContext<DownloadInput>
  abort(code: AbortCode): void
  /** Whether the worker can prove its lease, whether it has lost it, and what the database would answer. */
  lease: { owned: boolean; inDoubt: boolean; confirmed: boolean; saves: boolean }
  logged: string[]
  progress: { done?: number; total?: number }[]
}

export function fakeAttempt(input: DownloadInput, task: FakeTask = fakeTask()): FakeAttempt {
  const abort = new AbortController()
  const lease = { owned: true, inDoubt: false, confirmed: true, saves: true }
  const logged: string[] = []
  const progress: FakeAttempt['progress'] = []
  const log = (message: string) => void logged.push(message)
  const leaseId = randomUUID()
  const attempt = ++task.attempts
  const claimed = {
    ...{ id: task.id, name: 'download', attempt, queue: 'default', worker: 'w1', leaseId },
    get owned() {
      return lease.owned && !lease.inDoubt
    },
    proven: async () => {
      while (lease.inDoubt) await sleep(5)
      if (!lease.owned) throw new AttemptAborted('LEASE_LOST', 'another attempt owns the task')
    },
    confirmOwned: async () => lease.confirmed,
  }
  const save = async (state: unknown) => {
    if (!lease.saves) throw new AttemptAborted('LEASE_LOST', 'another attempt owns the task')
    task.saved = structuredClone(state)
  }
  return {
    context: {
      input,
      task: claimed as unknown as Task,
      progress: (update) => void progress.push(update),
      results: async () => new Map(),
      checkpoint: { state: structuredClone(task.saved), save },
      log: { debug: log, info: log, warn: log, error: log } as HandlerContext<DownloadInput>['log'],
      socket: { emit: () => {}, on: () => () => {} },
      signal: abort.signal,
    },
    abort: (code) => abort.abort(new AttemptAborted(code, `the attempt ended: ${code}`)),
    ...{ lease, logged, progress },
  }
}
