import { Link } from '@tanstack/react-router'
import type { HandlerRow } from '@taskfleet/protocol'
import { useFleetClient, useServerTime } from '@taskfleet/react'
import { Plus, ServerOff } from 'lucide-react'
import { useMemo, useState } from 'react'
import { Foreign } from '../components/foreign.tsx'
import { IconButton } from '../components/icon-button.tsx'
import { Listing } from '../components/listing.tsx'
import { LookMark } from '../components/look-mark.tsx'
import { Names } from '../components/names.tsx'
import { Page } from '../components/page.tsx'
import { Refresh } from '../components/refresh.tsx'
import { type Column, Table } from '../components/table.tsx'
import { Time } from '../components/time.tsx'
import { useCan } from '../live/hooks.ts'
import { useAsked } from '../live/use-asked.ts'
import { useHistory } from '../live/use-history.ts'
import { NewTaskDialog } from '../shell/dialogs.tsx'
import { useRange } from '../shell/use-range.ts'
import { countOf, formatCount } from '../view/counts.ts'
import { formatLatency, formatShare, formatTime } from '../view/format.ts'
import { type Ended, endedByName, type HandlerLine, handlerLines } from '../view/handler-lines.ts'
import { RANGES } from '../view/range.ts'
import { visibleLine } from '../view/text.ts'

const AGAIN_MS = 4_000
const HANDLERS_AGAIN_MS = 10_000
const NONE = {
  title: 'No worker has a handler yet, and no task waits',
  hint: 'Export handlers from a file and start a worker with it:',
  code: 'npx taskfleet worker --tasks tasks.js',
}
const NO_HOST = { icon: ServerOff, label: 'Nobody serves it', tone: 'text-bad' }

/** Every `name@version`: which hosts run it, what waits, and how it went in the time range. */
export function HandlersPage() {
  const client = useFleetClient()
  const now = useServerTime()
  const mayWrite = useCan('write')
  const { from, to, name: rangeName } = useRange()
  const [chosen, setChosen] = useState<Pick<HandlerRow, 'name' | 'version'>>()
  const coverage = useAsked(() => client.tasks.coverage(), { key: 'coverage', everyMs: AGAIN_MS })
  const handlers = useAsked(() => client.handlers.list(), { key: 'handlers', everyMs: HANDLERS_AGAIN_MS })
  const { history, ...counting } = useHistory()
  const lines = useMemo(
    () => handlerLines(handlers.answer ?? [], coverage.answer ?? []),
    [handlers.answer, coverage.answer],
  )
  const ended = useMemo(() => history && endedByName(history.rows), [history])
  const unserved = lines.filter((line) => line.unserved.length > 0)
  const versions = new Set(lines.map(({ name }) => name)).size < lines.length
  const loaded = coverage.at !== undefined && handlers.at !== undefined

  const number = (title: string, cell: Column<HandlerLine>['cell']) => ({ title, number: true, cell })
  const ofName = (title: string, text: (ended: Ended) => string | undefined): Column<HandlerLine> =>
    number(title, ({ name }) => {
      if (ended === undefined) return <span className="text-dim">{counting.error === undefined ? '…' : '?'}</span>
      const one = ended.get(name)
      return (one && text(one)) ?? <span className="text-dim">–</span>
    })
  const columns: Column<HandlerLine>[] = [
    {
      title: 'Handler',
      cell: ({ name, version }) => (
        <Link to="/tasks" search={{ name }} className="font-medium hover:underline">
          <Foreign text={name} max={80} />
          <span className="text-dim">@{version}</span>
        </Link>
      ),
    },
    { title: 'Served by', className: 'min-[1100px]:min-w-28', cell: (line) => <ServedBy line={line} /> },
    {
      title: 'Queues',
      cell: ({ queues }) => (
        <Names names={queues} most={4}>
          {(queue) => (
            <Link to="/tasks" search={{ queue }} className="hover:underline">
              <Foreign text={queue} max={40} />
            </Link>
          )}
        </Names>
      ),
    },
    number('Waiting', ({ waiting }) => formatCount(waiting)),
    number('Due', ({ due }) => formatCount(due)),
    number('Running', ({ running }) => formatCount(running)),
    number('Oldest', ({ oldest }) => (oldest === undefined ? '–' : <Time at={oldest} now={now} />)),
    ofName('Rate', ({ count }) => rateText(count, to - from)),
    ofName('Run p50', ({ p50 }) => latency(p50)),
    ofName('Run p95', ({ p95 }) => latency(p95)),
    number('Failed', ({ name }) => <Failed ended={ended?.get(name)} />),
    {
      title: 'Created by',
      cell: ({ schedules, callbacks }) => (
        <>
          <Names names={schedules} most={3}>
            {(schedule) => (
              <Link to="/schedules" search={{ name: schedule }} className="hover:underline">
                <Foreign text={schedule} max={40} />
              </Link>
            )}
          </Names>
          {schedules.length > 0 && callbacks > 0 && ', '}
          {callbacks > 0 && countOf(callbacks, 'callback')}
          {schedules.length === 0 && callbacks === 0 && <span className="text-dim">–</span>}
        </>
      ),
    },
    ...(mayWrite ? [actions(setChosen)] : []),
  ]
  return (
    <Page
      title="Handlers"
      head={
        <>
          <p role="status" className={unserved.length > 0 ? 'font-medium text-bad' : 'text-dim'}>
            {loaded && lines.length > 0 && summary(unserved)}
          </p>
          <Refresh
            at={coverage.at}
            now={now}
            onRefresh={() => [coverage, handlers, counting].forEach((one) => one.tryAgain())}
          />
        </>
      }
    >
      <Listing views={[coverage, handlers, counting]} loaded={loaded} count={loaded ? lines.length : 0} empty={NONE}>
        <Table
          label="Handlers"
          cards="tablet"
          columns={columns}
          rows={lines}
          keyOf={({ type }) => type}
          attributes={({ type, unserved: queues }) => ({
            'data-testid': 'coverage-row',
            'data-task': type,
            'data-served': queues.length === 0,
            className: queues.length === 0 ? '' : 'bg-bad/10',
          })}
        />
        <p className="px-1 text-xs text-dim">
          Rate, run times and failures count the attempts that ended {rangeText(from, to, rangeName)}
          {versions && ', of all versions of a name together'}. Run times are estimated.
        </p>
      </Listing>
      {chosen !== undefined && <NewTaskDialog handler={chosen} onClose={() => setChosen(undefined)} />}
    </Page>
  )
}

function rangeText(from: number, to: number, name: keyof typeof RANGES | undefined): string {
  if (name !== undefined) return `in the ${RANGES[name].label.toLowerCase()}`
  return `from ${formatTime(new Date(from).toISOString())} to ${formatTime(new Date(to).toISOString())}`
}

const latency = (ms: number | undefined): string | undefined => (ms === undefined ? undefined : formatLatency(ms))

const MINUTE_MS = 60_000

/** `12 /min`; per hour where that is less than one a minute. */
function rateText(count: number, ms: number): string | undefined {
  if (count === 0) return undefined
  const perMinute = (count * MINUTE_MS) / ms
  const [rate, unit] = perMinute >= 1 ? [perMinute, 'min'] : [perMinute * 60, 'h']
  return `${rate.toLocaleString('en', { maximumFractionDigits: rate < 10 ? 1 : 0 })}\u00a0/${unit}`
}

function Failed({ ended }: { ended: Ended | undefined }) {
  if (ended === undefined || ended.count === 0) return <span className="text-dim">–</span>
  const words = `${formatCount(ended.failed)} of ${countOf(ended.count, 'attempt')}`
  return (
    <span title={words} className={ended.failed > 0 ? 'font-medium text-bad' : 'text-dim'}>
      {formatShare(ended.failed / ended.count)}
    </span>
  )
}

const actions = (onNew: (handler: Pick<HandlerRow, 'name' | 'version'>) => void): Column<HandlerLine> => ({
  title: 'Action',
  number: true,
  alone: true,
  // Visible even if the table has to be scrolled.
  className:
    'min-[1100px]:sticky min-[1100px]:right-0 min-[1100px]:bg-panel min-[1100px]:in-data-[served=false]:bg-[color-mix(in_oklab,var(--color-bad)_10%,var(--color-panel))]',
  cell: ({ type, name, version }) => (
    <IconButton
      icon={Plus}
      label={`New task of ${visibleLine(type, 60)}`}
      title="New task…"
      className="-my-1.5 max-[1100px]:-ml-2"
      onClick={() => onNew({ name, version })}
    />
  ),
})

function summary(unserved: readonly HandlerLine[]): string {
  if (unserved.length === 0) return 'Every waiting version has a live host.'
  if (unserved.length === 1) return '1 version waits and no live host can run it.'
  return `${unserved.length} versions wait and no live host can run them.`
}

function ServedBy({ line: { workers, unserved, queues } }: { line: HandlerLine }) {
  return (
    <>
      {unserved.length > 0 && (
        <span className="flex flex-wrap items-center gap-x-1">
          <LookMark look={NO_HOST} />
          {unserved.length < queues.length && (
            <span className="text-bad">
              in <Names names={unserved} most={3} />
            </span>
          )}
        </span>
      )}
      <Names names={workers} most={6}>
        {(worker) => (
          <Link to="/tasks" search={{ status: ['running'], host: worker }} className="hover:underline">
            <Foreign text={worker} max={40} />
          </Link>
        )}
      </Names>
    </>
  )
}
