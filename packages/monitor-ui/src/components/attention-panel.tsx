import { Link, type LinkProps } from '@tanstack/react-router'
import type { AttentionRow } from '@taskfleet/protocol'
import { useAttention } from '@taskfleet/react'
import { CircleAlert, CircleCheck, TriangleAlert } from 'lucide-react'
import { useWellSince } from '../live/use-well-since.ts'
import { formatTick, formatTime, formatWhen } from '../view/format.ts'
import { visibleLine } from '../view/text.ts'
import { Foreign } from './foreign.tsx'
import { LookMark } from './look-mark.tsx'

const URGENT = { icon: CircleAlert, label: 'Now', tone: 'text-bad' }
const SOON = { icon: TriangleAlert, label: 'Soon', tone: 'text-warn' }
const DAY_MS = 86_400_000
const WELL = { icon: CircleCheck, label: 'All is well', tone: 'text-done' }

/** What needs somebody. Says so when all is well; empty until it is known. */
export function AttentionPanel({ now }: { now: number }) {
  const { rows, loaded, error } = useAttention()
  const isWell = loaded && error === undefined && rows.length === 0
  const wellSince = useWellSince(isWell)
  if (!loaded && error === undefined) return null
  return (
    <section className="panel px-3 py-2" aria-label="What needs somebody">
      {error !== undefined && (
        <p className="text-warn">
          What needs somebody can't be read now: {error.message}
          {rows.length > 0 && '. The list is the last known one'}
        </p>
      )}
      {isWell && (
        <p className="flex flex-wrap gap-x-1.5 text-dim">
          <LookMark look={WELL} />
          {wellSince !== undefined && (
            <span data-testid="well-since" title={formatTime(wellSince)}>
              since {formatTick(Date.parse(wellSince), now - Date.parse(wellSince) > DAY_MS)}
            </span>
          )}
        </p>
      )}
      <ul className="flex flex-col gap-1">
        {rows.map((row) => (
          <li
            key={row._id}
            data-testid="attention-row"
            data-kind={row.kind}
            className="grid grid-cols-[4.5rem_minmax(0,1fr)_auto] items-start gap-x-2"
          >
            <LookMark look={row.urgency === 'now' ? URGENT : SOON} />
            <span className="line-clamp-2 min-w-0 break-words" title={visibleLine(row.message, 1_000)}>
              <Link {...pageOf(row)} className="font-medium hover:underline">
                <Foreign text={row.subject} max={80} />
              </Link>{' '}
              <span className="text-dim">
                <Foreign text={row.message} max={400} />
              </span>
            </span>
            {row.since !== undefined && (
              <span className="text-dim" title={formatTime(row.since)}>
                {formatWhen(row.since, now)}
              </span>
            )}
          </li>
        ))}
      </ul>
    </section>
  )
}

/** Where its cause is shown, and what can be done about it. */
function pageOf({ kind, queue, name, subject, schedule, error }: AttentionRow): LinkProps {
  if (schedule !== undefined) return { to: '/schedules' }
  switch (kind) {
    case 'unserved':
      return { to: '/handlers' }
    case 'behind':
      return { to: '/tasks', search: { status: ['pending'], queue: queue!, sort: 'createdAt' } }
    case 'paused':
      return { to: '/queues/$queue', params: { queue: subject } }
    case 'silent':
      return { to: '/hosts/$host', params: { host: subject } }
    case 'deadline':
      return { to: '/tasks', search: { name: name!, deadline: 'risk' } }
    case 'failing':
      return error === undefined ? { to: '/errors' } : { to: '/errors/$fingerprint', params: { fingerprint: error } }
    case 'weak':
      return { to: '/settings' }
    default:
      return { to: '/' }
  }
}
