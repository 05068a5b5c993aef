import { Link } from '@tanstack/react-router'
import type { ScheduleRow } from '@taskfleet/protocol'
import { useFleetClient } from '@taskfleet/react'
import { CalendarClock, CalendarX, Repeat } from 'lucide-react'
import { useMinute } from '../live/hooks.ts'
import { useAsked } from '../live/use-asked.ts'
import { type Agenda, agendaOf, DAY_MS, type Firing, type Repeated, SLOTS_ASKED } from '../view/agenda.ts'
import { countOf, formatCount } from '../view/counts.ts'
import { formatDuration, formatTick, formatTime } from '../view/format.ts'
import { zoneName } from '../view/zone.ts'
import { Foreign } from './foreign.tsx'
import { LookMark } from './look-mark.tsx'
import { Section } from './section.tsx'

/** The times of so many different crons are requested. */
const CRONS = 50
const LINES = 40
const HOUR_MS = 3_600_000

/** What schedules run in the next 24 hours, in the reader's zone, and what they have missed. */
export function ScheduleAgenda({ schedules }: { schedules: readonly ScheduleRow[] }) {
  const now = useMinute()
  const { slots, hidden } = useSlots(schedules, now)
  const agenda = agendaOf(schedules, slots, now)
  const lines = linesOf(agenda)
  const more = lines.length - LINES
  if (lines.length === 0) return null
  return (
    <Section title="Next 24 hours" head={<span className="text-xs text-dim">{zoneName()}</span>}>
      <ol className="panel dims grid max-h-80 overflow-y-auto p-1.5 text-xs" aria-label="Next 24 hours">
        {lines.slice(0, LINES).map(({ kind, schedule, at, ...rest }) => (
          <li
            key={`${kind} ${schedule._id} ${at}`}
            data-testid="firing"
            data-kind={kind}
            className="grid grid-cols-[96px_minmax(0,1fr)] items-center gap-x-3 rounded-md px-2 py-1 hover:bg-raised/60 sm:grid-cols-[120px_minmax(0,2fr)_minmax(0,1fr)_minmax(0,1fr)]"
          >
            <time dateTime={new Date(at).toISOString()} title={formatTime(new Date(at).toISOString())}>
              {formatTick(at, dayOf(at) !== dayOf(now))}
            </time>
            <Link to="/schedules" search={{ name: schedule._id }} className="truncate font-medium hover:underline">
              <Foreign text={schedule._id} max={80} />
            </Link>
            <span className="truncate text-dim max-sm:hidden">
              <Foreign text={schedule.task} max={80} />
            </span>
            <span className="max-sm:col-start-2">
              <Mark kind={kind} {...rest} />
            </span>
          </li>
        ))}
      </ol>
      {(more > 0 || hidden > 0) && (
        <p className="text-xs text-dim">
          {[
            more > 0 ? `${countOf(more, 'line')} more` : [],
            hidden > 0 ? `only the next run of ${countOf(hidden, 'schedule')} is known` : [],
          ]
            .flat()
            .join(', ')}
          . Filter by name to see all.
        </p>
      )}
    </Section>
  )
}

type Line = Firing & { kind: 'missed' | 'often' | 'once' } & Partial<Omit<Repeated, keyof Firing>>

/** What was missed comes first, then the day. Many runs are where the next one is. */
function linesOf({ missed, often, once }: Agenda): Line[] {
  const of = (kind: Line['kind'], firings: readonly Firing[]) => firings.map((firing) => ({ kind, ...firing }))
  const ahead = [...of('often', often), ...of('once', once)].sort((a, b) => a.at - b.at)
  return [...of('missed', missed), ...ahead]
}

function Mark({ kind, count = 1, everyMs, isEstimate }: Omit<Line, keyof Firing>) {
  if (kind === 'once') return <LookMark look={{ icon: CalendarClock, label: 'Once', tone: 'text-dim' }} />
  if (kind === 'missed') return <LookMark look={{ icon: CalendarX, label: 'Missed', tone: 'text-bad' }} />
  const times = `${formatCount(count)}${everyMs === undefined && isEstimate ? ' or more' : ''}`
  const label = everyMs === undefined ? `${times} times` : `every ${periodText(everyMs)} × ${times}`
  return (
    <span title={isEstimate ? `Estimated from the next ${SLOTS_ASKED} times` : undefined}>
      <LookMark look={{ icon: Repeat, label, tone: 'text-run' }} />
    </span>
  )
}

/** `5 min`, `1 h`; a period that is no whole number of them as a duration. */
function periodText(ms: number): string {
  if (ms % HOUR_MS === 0) return `${ms / HOUR_MS}\u00a0h`
  return ms % 60_000 === 0 ? `${ms / 60_000}\u00a0min` : formatDuration(ms)
}

const dayOf = (at: number): string => new Date(at).toLocaleDateString('en-GB', { timeZone: zoneName() })

/** The next times of crons that are due within a day. They change with the schedules and with the hour. */
function useSlots(
  schedules: readonly ScheduleRow[],
  now: number,
): { slots: ReadonlyMap<string, readonly number[]>; hidden: number } {
  const client = useFleetClient()
  const due = schedules.filter(
    ({ cron, paused, nextAt }) =>
      cron !== undefined && !paused && nextAt !== undefined && Date.parse(nextAt) < now + DAY_MS,
  )
  const byTiming = new Map<string, ScheduleRow[]>()
  for (const schedule of due) {
    const { cron, timeZone, startsAt, endsAt } = schedule
    const timing = JSON.stringify({ cron, timeZone, startsAt, endsAt })
    byTiming.set(timing, [...(byTiming.get(timing) ?? []), schedule])
  }
  const asked = [...byTiming].slice(0, CRONS)
  const timings = asked.map(([timing]) => timing)
  const { answer } = useAsked(
    async () => {
      const all = timings.map((timing) => client.schedules.preview({ ...JSON.parse(timing), count: SLOTS_ASKED }))
      // A cron that can't be read has only the next run, which is stored.
      const found = await Promise.allSettled(all)
      return new Map(
        found.flatMap((one, index) =>
          one.status === 'fulfilled' ? [[timings[index], one.value.map((at) => Date.parse(at))] as const] : [],
        ),
      )
    },
    { key: `${Math.floor(now / HOUR_MS)} ${timings.join()}`, active: timings.length > 0 },
  )
  const slots = new Map(
    asked.flatMap(([timing, rows]) => {
      const times = answer?.get(timing)
      return times === undefined ? [] : rows.map(({ _id }) => [_id, times] as const)
    }),
  )
  return { slots, hidden: [...byTiming.values()].slice(CRONS).flat().length }
}
