import type { FleetStats, Percentiles } from '@taskfleet/protocol'
import { useMemo } from 'react'
import { lastSlots, sumSlots } from '../view/activity.ts'
import { formatCount } from '../view/counts.ts'
import { formatLatency } from '../view/format.ts'
import { ActivityChart } from './activity-chart.tsx'

const SLOT_MS = 10_000

/**
 * The tasks of the last five minutes, and how long they took.
 * @param now the server's time in milliseconds
 */
export function ActivityPanel({ stats, now }: { stats: FleetStats | undefined; now: number }) {
  const slot = Math.floor(now / SLOT_MS)
  const known = stats?.slots
  const slots = useMemo(() => lastSlots(known ?? [], slot * SLOT_MS), [known, slot])
  const { completed, failed, cancelled, enqueued } = sumSlots(slots)
  const nothing = completed + failed + cancelled + enqueued === 0
  return (
    <section
      aria-label="Last five minutes"
      className="panel dims grid grid-cols-[minmax(0,1fr)] gap-x-6 gap-y-3 px-4 py-3 md:grid-cols-[minmax(0,1fr)_auto]"
    >
      <div className="min-w-0">
        <div className="mb-2 flex flex-wrap items-baseline gap-x-4 gap-y-1">
          <h2 className="heading">Last five minutes</h2>
          <ul className="flex flex-wrap gap-x-3.5 text-xs" aria-label="In all">
            <Legend count={completed} label="completed" mark="h-2.5 w-2 rounded-[1px] bg-done" />
            <Legend count={failed} label="failed" mark="h-2.5 w-2 rounded-[1px] bg-bad" />
            {cancelled > 0 && <Legend count={cancelled} label="cancelled" mark="h-2.5 w-2 rounded-[1px] bg-dim/60" />}
            <Legend count={enqueued} label="enqueued" mark="h-0.5 w-3 bg-run" />
          </ul>
        </div>
        <div className="relative">
          <ActivityChart
            slots={slots}
            label={`In the last five minutes ${formatCount(completed)} completed, ${formatCount(failed)} failed and ${formatCount(enqueued)} were enqueued`}
          />
          {nothing && (
            <p className="absolute inset-0 flex items-center justify-center pb-2 text-dim">
              {stats === undefined ? 'Counting…' : 'No task was enqueued or has ended.'}
            </p>
          )}
        </div>
        <div className="mt-0.5 flex justify-between text-[11px] text-dim" aria-hidden>
          <span>5 min ago</span>
          <span>now</span>
        </div>
      </div>
      <Latencies wait={stats?.waitMs} run={stats?.runMs} />
    </section>
  )
}

function Legend({ count, label, mark }: { count: number; label: string; mark: string }) {
  return (
    <li className="flex items-center gap-1.5 whitespace-nowrap">
      <span className={mark} aria-hidden />
      <span>
        <span className="font-medium">{formatCount(count)}</span> <span className="text-dim">{label}</span>
      </span>
    </li>
  )
}

const RANKS = ['p50', 'p95', 'p99'] as const

/** How long tasks waited for a slot and how long they ran, as percentiles. */
function Latencies({ wait, run }: { wait: Percentiles | undefined; run: Percentiles | undefined }) {
  const count = run?.count ?? 0
  return (
    <table
      aria-label="How long tasks took"
      className="w-full self-start border-collapse text-right max-md:border-t max-md:border-line md:min-w-[270px]"
    >
      <thead>
        <tr>
          <th scope="col" className="pt-0 pb-1 text-left text-xs font-normal text-dim max-md:pt-2">
            {count === 0 ? 'None ended' : `${formatCount(count)} ended`}
          </th>
          {RANKS.map((rank) => (
            <th key={rank} scope="col" className="heading pb-1 pl-4 !normal-case max-md:pt-2">
              {rank}
            </th>
          ))}
        </tr>
      </thead>
      <tbody>
        {(
          [
            ['Waited', wait],
            ['Ran', run],
          ] as const
        ).map(([label, percentiles]) => (
          <tr key={label} data-testid="latency" data-kind={label.toLowerCase()} className="border-t border-line">
            <th scope="row" className="py-1.5 text-left font-medium">
              {label}
            </th>
            {RANKS.map((rank) => {
              const ms = percentiles?.[rank]
              return (
                <td key={rank} className={`py-1.5 pl-4 whitespace-nowrap ${ms === undefined ? 'text-dim' : ''}`}>
                  {ms === undefined ? '–' : formatLatency(ms)}
                </td>
              )
            })}
          </tr>
        ))}
      </tbody>
    </table>
  )
}
