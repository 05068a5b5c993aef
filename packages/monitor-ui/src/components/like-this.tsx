import type { TaskRow } from '@taskfleet/protocol'
import { useFleetClient } from '@taskfleet/react'
import { useMemo } from 'react'
import { useAsked } from '../live/use-asked.ts'
import { countOf } from '../view/counts.ts'
import { formatDuration, formatLatency } from '../view/format.ts'
import { latestRun, placeText, type UsualRun, usualEnd, usualRun } from '../view/like-this.ts'
import { visibleLine } from '../view/text.ts'
import { Time } from './time.tsx'

const AGAIN_MS = 120_000
const DAY_MS = 86_400_000
/** With fewer tasks in a day, those of a week are asked for. */
const ENOUGH = 20
const SPANS = [
  { days: 1, words: 'last 24 hours' },
  { days: 7, words: 'last 7 days' },
] as const

interface Props {
  task: TaskRow
  now: number
  /** Its progress already says when it ends. */
  endKnown: boolean
}

/** The usual run time of its handler, and where this task lies. Nothing for keys that may not read the history. */
export function LikeThis({ task, now, endKnown }: Props) {
  const client = useFleetClient()
  const { name } = task
  const ask = async () => {
    const [day, week] = SPANS
    for (const span of SPANS) {
      const since = new Date(Date.now() + client.clockOffset - span.days * DAY_MS).toISOString()
      const rows = await client.tasks.history({ unit: 'hour', since, name })
      if (span === week || (usualRun(rows)?.count ?? 0) >= ENOUGH) return { rows, span }
    }
    return { rows: [], span: day }
  }
  const { answer, error } = useAsked(ask, { key: `like ${name}`, everyMs: AGAIN_MS })
  const usual = useMemo(() => usualRun(answer?.rows ?? []), [answer])
  if (answer === undefined && error !== undefined) return null
  const shownName = visibleLine(name, 60)
  const ms = latestRun(task, now)
  return (
    <section className="panel min-w-0 p-3" aria-label="Like this" data-testid="like-this">
      <h2 className="heading mb-2">Like this</h2>
      {answer === undefined ? (
        <p className="min-h-16 text-dim">Loading…</p>
      ) : usual === undefined ? (
        <p className="text-dim">
          No <bdi>{shownName}</bdi> has completed in the {answer.span.words}.
        </p>
      ) : (
        <>
          {ms !== undefined && isComparable(task) && (
            <Place usual={usual} ms={ms} task={task} now={now} endKnown={endKnown} name={shownName} />
          )}
          <Scale usual={usual} ms={ms} />
          <p className="mt-1.5 text-xs text-dim">
            {countOf(usual.count, 'attempt')} of all versions completed in the {answer.span.words}. Times are estimated.
          </p>
        </>
      )}
    </section>
  )
}

/** A task that failed may be quick for another reason. */
const isComparable = ({ status }: TaskRow): boolean => status === 'running' || status === 'completed'

function Place({ usual, ms, task, now, endKnown, name }: Props & { usual: UsualRun; ms: number; name: string }) {
  const running = task.status === 'running'
  const end = running && !endKnown ? usualEnd(usual, ms) : undefined
  const slow = usual.within(ms) >= 0.95
  return (
    <>
      <p className={`font-medium ${slow ? 'text-warn' : ''}`}>
        <bdi>{placeText(usual, ms, name, running)}</bdi>
      </p>
      {end !== undefined && (
        <p className="text-dim" data-testid="usual-end">
          {end.text}: <Time at={new Date(now + end.leftMs).toISOString()} now={now} />
          {end.leftMs > 60_000 && <> ({formatDuration(end.leftMs)})</>}
        </p>
      )}
    </>
  )
}

/** From nothing to a little more than the longest of the times, with this task as a mark. */
function Scale({ usual: { p50, p95 }, ms }: { usual: UsualRun; ms: number | undefined }) {
  const end = Math.max(p95 * 1.15, (ms ?? 0) * 1.02, 1)
  const at = (time: number): string => `${Math.min(100, (time / end) * 100)}%`
  const words = [`half within ${formatLatency(p50)}`, `95 % within ${formatLatency(p95)}`]
  if (ms !== undefined) words.push(`this one ${formatLatency(ms)}`)
  return (
    <div role="img" aria-label={`Run times: ${words.join(', ')}`} className="mt-2">
      <div className="relative h-3">
        <span className="absolute inset-x-0 top-1 h-1.5 rounded-full bg-raised" />
        <span className="absolute top-1 left-0 h-1.5 rounded-l-full bg-dim/50" style={{ width: at(p50) }} />
        <span className="absolute top-1 h-1.5 bg-dim/25" style={{ left: at(p50), right: `calc(100% - ${at(p95)})` }} />
        {ms !== undefined && (
          <span
            className={`absolute top-0 h-3.5 w-1 -translate-x-1/2 rounded-full ${ms >= p95 ? 'bg-warn' : 'bg-run'}`}
            style={{ left: at(ms) }}
          />
        )}
      </div>
      <div className="mt-1 flex flex-wrap gap-x-4 text-xs text-dim">
        <span>
          p50 <b className="font-semibold text-text">{formatLatency(p50)}</b>
        </span>
        <span>
          p95 <b className="font-semibold text-text">{formatLatency(p95)}</b>
        </span>
        {ms !== undefined && (
          <span className={ms >= p95 ? 'text-warn' : 'text-run'}>
            this one <b className="font-semibold">{formatLatency(ms)}</b>
          </span>
        )}
      </div>
    </div>
  )
}
