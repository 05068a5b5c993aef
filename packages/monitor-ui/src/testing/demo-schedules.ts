import type { FakeFleet } from './fake-fleet.ts'
import { aSchedule, aTask, iso } from './rows.ts'

/** Schedules of every kind, for the demonstration. */
export function startSchedules(fleet: FakeFleet): void {
  const now = fleet.now()
  const done = fleet.put(aTask.completed({ name: 'report', schedule: 'nightly-report' }, now))
  const failed = fleet.put(aTask.failed({ name: 'sync', schedule: 'sync.every-15m' }, now))
  fleet.putSchedule(
    aSchedule(
      {
        _id: 'nightly-report',
        nextAt: iso(now + 11 * 3_600_000),
        lastSlot: iso(now - 13 * 3_600_000),
        lastTask: done._id,
        options: { queue: 'reports', priority: 8 },
        version: 3,
      },
      now,
    ),
  )
  const { cron: _, ...byPeriod } = aSchedule({ _id: 'sync.every-15m', task: 'sync', every: 900_000 }, now)
  fleet.putSchedule({
    ...byPeriod,
    timeZone: 'UTC',
    overlap: 'skip',
    nextAt: iso(now + 252_000),
    lastSlot: iso(now - 648_000),
    lastTask: failed._id,
    lastSkipped: { slot: iso(now - 1_548_000), reason: 'OVERLAP' },
  })
  const { nextAt: _next, ...paused } = aSchedule(
    { _id: 'invoices', task: 'invoice', cron: '0 9 * * MON-FRI', timeZone: 'America/New_York', paused: true },
    now,
  )
  fleet.putSchedule(paused)
  const { nextAt: _none, ...over } = aSchedule(
    {
      _id: 'a-campaign-whose-name-is-as-long-as-names-of-schedules-are-where-people-describe-in-them-what-they-do',
      task: 'a-task-with-quite-a-long-name-of-its-own',
      cron: '*/10 * * * * *',
      timeZone: 'Asia/Kathmandu',
      missed: 'all',
      endsAt: iso(now - 86_400_000),
      lastSlot: iso(now - 86_400_000),
      lastTask: 'a'.repeat(24),
      lastSkipped: { slot: iso(now - 90_000_000), reason: 'MISSED' },
    },
    now,
  )
  fleet.putSchedule(over)
}
