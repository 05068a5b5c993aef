import type { Worker } from 'node:worker_threads'
import type { TaskStore } from '@taskfleet/core/internal'
import { MemoryDatabase } from '@taskfleet/core/memory'
import { describeService } from '@taskfleet/testkit/describe-service'
import { FakeFeed } from '@taskfleet/testkit/fake-feed'
import { scriptedTask } from '@taskfleet/testkit/fleet/scripted-task'
import { LOOPBACK, silent as log, startGateway } from '@taskfleet/testkit/fleet/test-sockets'
import { useFleet } from '@taskfleet/testkit/fleet/use-fleet'
import { testClaimant } from '@taskfleet/testkit/task-factory'
import { afterEach, beforeEach, describe, vi } from 'vitest'
import { AttemptReporter } from './attempt-reporter.ts'
import { ClaimLoop } from './claim-loop.ts'
import { DeadlineWatch } from './deadline-watch.ts'
import { DocumentWatch } from './document-watch.ts'
import { LoadMonitor } from './load/load-monitor.ts'
import { Reaper } from './reaper.ts'
import { ScheduleWatch } from './schedule-watch.ts'
import { SessionKeeper } from './session-keeper.ts'
import { TaskRunner, type TaskRunnerOptions } from './task-runner.ts'

const clock = { now: () => new Date() }

describe('with counted timers', () => {
  // The driver of a real database has timers of its own, which count too.
  const fleet = new MemoryDatabase().fleet()
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval'] })
  })
  afterEach(() => {
    vi.useRealTimers()
  })
  const running = (): number => vi.getTimerCount()

  describeService('Reaper', () => {
    const store = { reap: async () => [], unblockAll: async () => 0 }
    const onReaped = (): void => undefined
    const houseKeeping = async (): Promise<void> => undefined
    return {
      service: new Reaper({
        store,
        log,
        intervalMs: 3_000,
        processes: () => 1,
        awake: () => true,
        onReaped,
        houseKeeping,
      }),
      running,
    }
  })

  describeService('DeadlineWatch', () => {
    const store = { raiseDue: async () => ({ raised: [], nextRaise: null }) }
    return { service: new DeadlineWatch({ store, clock, log, onMissed: () => undefined }), running }
  })

  describeService('ScheduleWatch', () => {
    const feed = new FakeFeed()
    const schedules = {
      due: async () => ({ due: [], nextAt: null }),
      fire: () => Promise.reject(new Error('nothing is due')),
      advance: () => Promise.reject(new Error('nothing is due')),
    }
    return {
      service: new ScheduleWatch({ schedules, clock, feed, log }),
      running: () => running() + feed.listeners.size,
    }
  })

  describeService('DocumentWatch', () => {
    const feed = new FakeFeed()
    return {
      service: new DocumentWatch({ fleet, feed, log }),
      running: () => running() + feed.listeners.size,
    }
  })

  describeService('LoadMonitor', () => {
    const meter = {
      read: () => ({ cpu: 0.5, rss: 1e8, memoryFree: 4e9, eventLoopDelayMs: 1 }),
      start: async () => undefined,
      stop: async () => undefined,
    }
    const host = { read: vi.fn(async () => ({ disks: new Map() })) }
    return {
      service: new LoadMonitor({ concurrency: 1, running: () => 0, probe: { host, meter } }),
      running,
      breakStart: () => host.read.mockRejectedValueOnce(new Error('no figures')),
    }
  })

  describeService('AttemptReporter', () => ({
    service: new AttemptReporter({ fleet, log, running: () => [], mayWrite: () => true }),
    running,
  }))

  describeService('ClaimLoop', () => {
    const service = new ClaimLoop({
      store: { waiting: async () => ({ due: [], next: [] }) } as unknown as TaskStore,
      clock,
      log,
      claimant: () => testClaimant,
      served: () => ({ queues: [], tasks: new Map() }),
      serves: () => true,
      free: () => 1,
      begin: () => undefined,
      limited: {
        isLimited: () => false,
        claim: async function* () {
          yield* []
        },
      },
      onDue: () => undefined,
      onNothingDue: () => undefined,
      reportedUntil: () => new Date(),
      beforeAsking: async () => undefined,
      refillEvery: 1,
      pollMs: 1_000,
    })
    return { service, running }
  })
})

describe('with a database', () => {
  const fleet = useFleet()

  /** The threads of this process that are alive. */
  let threads = 0
  const count = (thread: Worker): void => {
    threads += 1
    thread.once('exit', () => {
      threads -= 1
    })
  }
  beforeEach(() => {
    process.on('worker', count)
  })
  afterEach(() => {
    process.off('worker', count)
  })

  describeService('SessionKeeper', () => ({
    service: new SessionKeeper({
      database: fleet.database,
      register: { beat: async () => ({}) },
      leaseMs: 8_000,
      everyMs: 2_500,
      log,
      report: () => ({}) as never,
      onRenewed: () => undefined,
      onDoubt: () => undefined,
      onProven: () => undefined,
      onDead: () => undefined,
    }),
    running: () => threads,
  }))

  describeService('TaskRunner', async () => {
    const taken = Number(new URL((await startGateway(fleet)).url!).port)
    const options: TaskRunnerOptions = { mongo: fleet.uri, tasks: [scriptedTask()], listen: { ...LOOPBACK } }
    const runner = new TaskRunner(options)
    let starting: Promise<void> | undefined
    return {
      service: {
        // It says so when it is started twice.
        start: async () => {
          starting ??= runner.start()
          await starting
        },
        stop: () => runner.stop({ grace: 0 }),
      },
      running: () => threads,
      breakStart: () => {
        options.listen!.port = taken
      },
    }
  })
})
