import type { TaskRow, WorkerRow } from '@taskfleet/protocol'
import { FakeFleet } from './fake-fleet.ts'
import { anError, aTask, aWorker, iso } from './rows.ts'

const FILES: [file: string, megabytes: number][] = [
  ['ubuntu-26.04-desktop-amd64.iso', 6_240],
  ['debian-13.2.0-amd64-netinst.iso', 784],
  ['planet-latest.osm.pbf', 82_400],
  ['wikipedia-en-2026-01-pages-articles.xml.bz2', 24_100],
  ['imagenet-val.tar', 6_740],
  ['common-voice-de-19.tar.gz', 33_900],
  ['sentinel-2-tile-32TMT.zip', 812],
  ['llvm-project-21.1.0.src.tar.xz', 158],
  ['postgresql-18.1.tar.bz2', 22.4],
  ['census-2025-households.parquet', 1_930],
  ['nightly-backup-eu-west.tar.zst', 11_600],
  ['firmware-r7-4.2.118.bin', 48.2],
  ['مرفق-التقرير-السنوي.pdf', 12.8],
  ['invoice\u202efdp.exe', 3.1],
  ['<img src=x onerror=alert(1)>.zip', 90.5],
  [
    'a-very-long-file-name-that-somebody-thought-would-be-a-good-idea-to-keep-every-last-detail-in-it-2026-01-05T12-00-00Z-final-final-2.tar.gz',
    402,
  ],
]

interface Run {
  id: string
  done: number
  total: number
  /** Bytes a second when nothing disturbs it. */
  speed: number
  /** Whether this download announces its length. */
  sized: boolean
}

/** A fleet that moves by itself, for looking at: some of everything that can happen to a download. */
export function startDemo(): FakeFleet {
  const fleet = new FakeFleet()
  const runs = new Map<string, Run>()
  const now = () => Date.now()
  let made = 0

  const hosts: Partial<WorkerRow>[] = [
    { name: 'fra-1', host: '10.0.1.11', pid: 2_204, slots: 4 },
    {
      name: 'fra-2',
      host: '10.0.1.12',
      pid: 2_207,
      slots: 4,
      queues: ['default', 'bulk'],
      gate: { open: true, lazy: false, reason: 'CPU at 93 % (lazy tasks wait above 80 %)' },
    },
    {
      name: 'ams-1',
      host: '10.0.2.31',
      pid: 911,
      slots: 3,
      gate: { open: false, lazy: false, reason: '640 MB of memory left, 4 % (all tasks wait below 5 %)' },
    },
    { name: 'ams-2', host: '10.0.2.32', pid: 917, slots: 2, state: 'draining' },
    { name: 'sin-1', host: '10.0.7.5', pid: 30_112, slots: 2 },
    { name: 'edge-gw', host: '10.0.1.2', pid: 310, role: 'gateway', slots: 0 },
    { name: 'old-1', host: '10.0.9.9', pid: 77, slots: 2, state: 'stopped' },
  ]
  for (const [index, host] of hosts.entries()) {
    fleet.putWorker(aWorker({ ...host, _id: `w${index + 1}`, startedAt: iso(now() - (index + 1) * 5_400_000) }, now()))
  }
  const silent = 'w5'

  const input = () => {
    const [file, megabytes] = FILES[made++ % FILES.length] ?? ['file.bin', 10]
    const known = made % 9 !== 0
    return {
      file,
      total: megabytes * 1e6,
      input: {
        file,
        url: `https://mirror.example.org/pub/${encodeURIComponent(file)}`,
        ...(known && { sha256: 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855' }),
      },
    }
  }

  const start = (task: TaskRow, worker: WorkerRow, total: number, begun = 0) => {
    const at = iso(now())
    const attempt = task.attempt + 1
    fleet.put({
      ...task,
      status: 'running',
      worker: worker._id,
      publicUrl: `http://${worker.host}:4101/tasks/${task._id}`,
      attempt,
      attempts: [...(task.attempts ?? []), { n: attempt, worker: worker._id, claimedAt: at }],
      claimedAt: at,
      startedAt: at,
      rev: task.rev + 1,
      progress: { done: begun, total, ratio: begun / total, unit: 'bytes', at },
    })
    runs.set(task._id, { id: task._id, done: begun, total, speed: 2e6 + Math.random() * 90e6, sized: made % 11 !== 0 })
    fleet.log(
      task._id,
      'info',
      `attempt ${attempt} on ${worker.name}: GET ${String((task.input as { url?: string }).url)}`,
    )
    if (begun > 0) fleet.log(task._id, 'info', `going on at byte ${Math.round(begun)} with Range, ETag unchanged`)
  }

  const create = (overrides: Partial<TaskRow> = {}) => {
    const { input: given, total } = input()
    const task = aTask.pending(
      { input: given, createdAt: iso(now() - Math.random() * 600_000), runAt: iso(now()), ...overrides },
      now(),
    )
    return { task: fleet.put(task), total }
  }

  const fill = () => {
    for (const worker of fleet.workers.values()) {
      const mine = [...fleet.tasks.values()].filter((task) => task.status === 'running' && task.worker === worker._id)
      if (worker.state !== 'running' || worker._id === silent || worker.gate?.open === false) continue
      let free = worker.slots - mine.length
      const waiting = [...fleet.tasks.values()]
        .filter((task) => task.status === 'pending' && Date.parse(task.runAt) <= now())
        .filter((task) => worker.tasks.includes(`${task.name}@${task.version}`) && worker.queues.includes(task.queue))
        .filter((task) => fleet.queues.get(task.queue)?.paused !== true)
        .sort((a, b) => b.priority - a.priority || a.order.localeCompare(b.order))
      for (const task of waiting) {
        if (free-- <= 0) break
        const size = FILES.find(([file]) => file === (task.input as { file?: string }).file)?.[1] ?? 120
        start(task, worker, size * 1e6, task.attempt > 0 ? size * 3e5 : 0)
      }
      if (waiting.length < 6) create({ priority: 1 + Math.floor(Math.random() * 10) })
    }
  }

  // What has already happened.
  for (let i = 0; i < 34; i++) {
    const { input: given } = input()
    const ended = iso(now() - i * 47_000 - 4_000)
    const begun = iso(now() - i * 47_000 - 40_000 - Math.random() * 600_000)
    const status = i % 7 === 3 ? 'failed' : i % 11 === 5 ? 'cancelled' : 'completed'
    fleet.put(
      aTask[status](
        {
          input: given,
          finishedAt: ended,
          createdAt: begun,
          claimedAt: begun,
          startedAt: begun,
          attempts: [{ n: 1, worker: `w${1 + (i % 5)}`, claimedAt: begun, endedAt: ended, outcome: status }],
        },
        now(),
      ),
    )
  }
  fleet.put(
    aTask.failed(
      {
        input: input().input,
        error: {
          code: 'CHECKSUM',
          name: '<b>Error</b>',
          message: `SHA-256 differs: \u202eexpected\u202c e3b0…, got 9f86…\u0007 ${'x'.repeat(400)}`,
          fingerprint: 'ab12',
          stack: 'Error: SHA-256 differs\n    at verify (download.ts:140:9)\n    at run (download.ts:52:11)',
        },
      },
      now(),
    ),
  )

  // What runs.
  for (const [worker, count] of [
    ['w1', 4],
    ['w2', 3],
    ['w3', 2],
    ['w4', 1],
    ['w5', 2],
  ] as const) {
    const host = fleet.workers.get(worker)
    for (let i = 0; host !== undefined && i < count; i++) {
      const { task, total } = create(
        i === 1
          ? {
              attempt: 1,
              lost: 1,
              attempts: [
                {
                  n: 1,
                  worker: 'w6',
                  claimedAt: iso(now() - 400_000),
                  endedAt: iso(now() - 380_000),
                  outcome: 'lost',
                  error: {
                    code: 'LEASE_LOST',
                    name: 'AttemptAborted',
                    message: 'The lease ran out: host old-1 was not heard of for 8 s.',
                    fingerprint: 'd00d',
                  },
                },
              ],
            }
          : {},
      )
      start(task, host, total, total * Math.random() * 0.8)
    }
  }
  const unreached = [...runs.keys()][5]
  if (unreached !== undefined) fleet.unreachable.add(unreached)

  // What waits.
  for (let i = 0; i < 9; i++) create({ priority: [8, 5, 5, 2, 10, 5, 8, 1, 5][i] ?? 5 })
  for (const seconds of [42, 610, 7_300]) create({ runAt: iso(now() + seconds * 1_000), priority: 5 })
  const first = create({ priority: 3, queue: 'nightly' }).task
  create({ status: 'blocked', after: first._id })
  create({ status: 'paused', attempt: 1 })
  create({
    attempt: 2,
    failures: 2,
    runAt: iso(now() + 23_000),
    error: { code: 'HTTP_503', name: 'FleetError', message: 'GET answered 503', fingerprint: 'f503' },
  })
  for (const [minutes, raised] of [
    [400, false],
    [6, true],
    [-3, true],
  ] as const) {
    create({
      queue: 'bulk',
      runAt: iso(now() + 3_600_000),
      deadline: iso(now() + minutes * 60_000),
      raiseAt: iso(now() + minutes * (raised ? 60_000 : 50_000)),
      priority: minutes < 0 ? 10 : raised ? 8 : 5,
      basePriority: 5,
      ...(minutes < 0 && { deadlineMissedAt: iso(now() + minutes * 60_000) }),
    })
  }
  for (let i = 0; i < 3; i++) create({ name: 'transcode', version: 3, input: { clip: `c-${i}` } })
  create({ name: 'report', version: 1, queue: 'reports', input: { month: 3 } })
  fleet.putQueue({
    _id: 'bulk',
    paused: true,
    by: 'ops-key',
    reason: 'the mirror is being moved until Thursday',
    updatedAt: iso(now() - 5_400_000),
    rev: 2,
  })
  fleet.putQueue({ _id: 'reports', paused: false, by: 'ops-key', updatedAt: iso(now() - 9_400_000), rev: 4 })

  // What keeps going wrong.
  const failed = [...fleet.tasks.values()].filter(({ status }) => status === 'failed').map(({ _id }) => _id)
  const hour = Math.floor(now() / 3_600_000) * 3_600_000
  const trend = (count: number, most: number) =>
    Array.from({ length: count }, (_, index) => ({
      hour: iso(hour - (count - 1 - index) * 3_600_000),
      count: Math.round(most * (0.3 + 0.7 * Math.abs(Math.sin(index * 1.7)))),
    }))
  fleet.putError(
    anError(
      { count: 1_284, trend: trend(40, 60), hosts: ['fra-1', 'fra-2', 'ams-1'], samples: failed.slice(0, 5) },
      now(),
    ),
  )
  fleet.putError(
    anError(
      {
        _id: 'ab12',
        code: 'CHECKSUM',
        message: 'SHA-256 differs: \u202eexpected\u202c e3b0…, got <b>9f86</b>…',
        count: 7,
        trend: trend(3, 3),
        versions: ['download@1', 'download@2'],
        hosts: ['sin-1'],
        samples: failed.slice(-2),
        reopened: 2,
        lastSeenAt: iso(now() - 900_000),
      },
      now(),
    ),
  )
  fleet.putError(
    anError(
      {
        _id: 'f503',
        code: 'HTTP_503',
        message: 'GET answered 503 Service Unavailable',
        state: 'ignored',
        marked: { by: 'ops-key', at: iso(now() - 7_200_000) },
        ignoredUntil: iso(now() + 14_400_000),
      },
      now(),
    ),
  )
  fleet.putError(
    anError(
      {
        _id: 'd00d',
        code: 'LEASE_LOST',
        message: 'The lease ran out',
        state: 'resolved',
        marked: { by: 'local', at: iso(now()) },
      },
      now(),
    ),
  )
  for (const id of failed) {
    for (let seq = 1; seq <= 260; seq++) {
      fleet.store(id, {
        attempt: seq > 130 ? 2 : 1,
        seq: seq > 130 ? seq - 130 : seq,
        at: iso(now() - 500_000 + seq * 900),
        level: seq % 130 === 0 ? 'error' : seq % 17 === 0 ? 'warn' : 'info',
        message: seq % 130 === 0 ? 'GET answered 404 Not Found' : `${seq * 3} MB on disk`,
      })
    }
  }

  fleet.onEnqueue = (task) => fleet.log(task._id, 'info', 'enqueued')
  fleet.onPause = (task) => {
    setTimeout(() => {
      runs.delete(task._id)
      fleet.suspend(task._id)
    }, 240)
  }
  fleet.onCancel = (task) => {
    setTimeout(() => {
      runs.delete(task._id)
      fleet.end(task._id, { status: 'cancelled' })
    }, 180)
  }

  let tick = 0
  setInterval(() => {
    tick += 1
    for (const run of runs.values()) {
      const task = fleet.tasks.get(run.id)
      if (task === undefined || task.status !== 'running') {
        runs.delete(run.id)
        continue
      }
      if (task.worker === silent) continue
      const wave = 0.75 + 0.25 * Math.sin(tick / 40 + run.total) + (Math.random() - 0.5) * 0.2
      run.done = Math.min(run.total, run.done + run.speed * wave * 0.1)
      const progress = run.sized
        ? { done: Math.round(run.done), total: run.total, ratio: run.done / run.total, unit: 'bytes' }
        : { done: Math.round(run.done), unit: 'bytes' }
      fleet.report(run.id, progress, { checkpoint: tick % 10 === 0 })
      if (tick % 60 === 0)
        fleet.log(
          run.id,
          Math.random() < 0.12 ? 'warn' : Math.random() < 0.3 ? 'debug' : 'info',
          `${Math.round(run.done / 1e6)} MB on disk, ${Math.round(run.speed / 1e6)} MB/s`,
        )
      if (run.done < run.total) continue
      runs.delete(run.id)
      fleet.end(
        run.id,
        Math.random() < 0.85
          ? { status: 'completed', output: { bytes: run.total, sha256: 'e3b0c442…' } }
          : {
              status: 'failed',
              error: {
                code: 'CHECKSUM',
                name: 'FleetError',
                message: 'SHA-256 differs from the expected one',
                fingerprint: 'ab12',
              },
            },
      )
    }
    if (tick % 20 === 0) {
      for (const worker of fleet.workers.values()) {
        if (worker.state === 'stopped' || (worker._id === silent && tick > 10)) continue
        const running = [...fleet.tasks.values()].filter(
          (task) => task.status === 'running' && task.worker === worker._id,
        ).length
        const { cpu, rss } = worker.load
        fleet.putWorker({
          ...worker,
          running,
          heartbeatAt: iso(now()),
          rev: worker.rev + 1,
          load: {
            ...worker.load,
            cpu: Math.min(1, Math.max(0.03, cpu + (Math.random() - 0.5) * 0.1)),
            rss: rss + (Math.random() - 0.5) * 4e6,
            eventLoopDelayMs: 1 + Math.random() * 4,
          },
        })
      }
      fill()
    }
  }, 100)
  return fleet
}
