import { randomUUID } from 'node:crypto'
import { type FleetDatabase, WorkerRegister, type WorkerReport } from '@taskfleet/core/internal'
import type { Types } from 'mongoose'
import { testClaimant } from './task-factory.ts'

/** A worker's report for a test. */
export const testReport = (over: Partial<WorkerReport> = {}): WorkerReport => ({
  boot: 'boot-1',
  leaseMs: 3_600_000,
  name: 'test',
  host: 'test',
  pid: 1,
  role: 'worker',
  state: 'running',
  queues: [],
  tasks: [],
  slots: 1,
  running: 0,
  load: { cpu: 0, rss: 0, memoryFree: 0, eventLoopDelayMs: 0 },
  heartbeatMs: 1_200_000,
  version: '0',
  ...over,
})

/** A live session for claims without a worker: a task claimed without a session is taken back. */
export async function openTestSession(
  database: Pick<FleetDatabase, 'connection' | 'clock'>,
  session = testClaimant.worker,
): Promise<void> {
  await new WorkerRegister(database.connection, database.clock).beat(session, testReport())
}

/** Ends the session of a running task, and no other task's. */
export async function loseWorker({ db }: Pick<FleetDatabase, 'db'>, id: Types.ObjectId): Promise<void> {
  const tasks = db.collection('tasks')
  await tasks.updateOne({ _id: id, status: 'running' }, { $set: { 'lease.session': `ended-${randomUUID()}` } })
}
