import { Link } from '@tanstack/react-router'
import type { CoverageRow } from '@taskfleet/protocol'
import { useFleetClient, useServerTime } from '@taskfleet/react'
import { ServerOff } from 'lucide-react'
import { Foreign } from '../components/foreign.tsx'
import { Listing } from '../components/listing.tsx'
import { LookMark } from '../components/look-mark.tsx'
import { Names } from '../components/names.tsx'
import { Page } from '../components/page.tsx'
import { Refresh } from '../components/refresh.tsx'
import { type Column, Table } from '../components/table.tsx'
import { useAsked } from '../live/use-asked.ts'
import { countOf, formatCount } from '../view/counts.ts'
import { formatTime, formatWhen } from '../view/format.ts'

const AGAIN_MS = 4_000
const NONE = { title: 'No task waits or runs', hint: 'Each version of a task that waits or runs is listed here.' }
const NO_HOST = { icon: ServerOff, label: 'No live host', tone: 'text-bad' }

/** Which `name@version` waits, and which hosts can run it, for example after a deploy. */
export function HandlersPage() {
  const client = useFleetClient()
  const now = useServerTime()
  const {
    answer = [],
    at,
    error,
    tryAgain,
  } = useAsked(() => client.tasks.coverage(), {
    key: 'coverage',
    everyMs: AGAIN_MS,
  })
  const unserved = answer.filter(({ served }) => !served).length
  const counts = (['waiting', 'due', 'running'] as const).map((field) => ({
    title: field.charAt(0).toUpperCase() + field.slice(1),
    number: true,
    cell: (row: CoverageRow) => formatCount(row[field]),
  }))
  const columns: Column<CoverageRow>[] = [
    {
      title: 'Task',
      cell: ({ name, version }) => (
        <Link to="/tasks" search={{ name }} className="font-medium hover:underline">
          <Foreign text={name} max={80} />
          <span className="text-dim">@{version}</span>
        </Link>
      ),
    },
    { title: 'Queue', cell: ({ queue }) => <Foreign text={queue} max={40} /> },
    ...counts,
    {
      title: 'Oldest',
      number: true,
      cell: ({ oldest }) =>
        oldest === undefined ? '–' : <span title={formatTime(oldest)}>{formatWhen(oldest, now)}</span>,
    },
    { title: 'Served by', cell: (row) => <ServedBy row={row} /> },
    {
      title: 'Created by',
      cell: ({ schedules, callbacks }) => (
        <Names names={[...schedules, ...(callbacks > 0 ? [countOf(callbacks, 'callback')] : [])]} most={100} />
      ),
    },
  ]
  return (
    <Page
      title="Handlers"
      head={
        <>
          <p role="status" className={unserved > 0 ? 'font-medium text-bad' : 'text-dim'}>
            {answer.length > 0 && summary(unserved)}
          </p>
          <Refresh at={at} now={now} onRefresh={tryAgain} />
        </>
      }
    >
      <Listing views={[{ error, tryAgain }]} loaded={at !== undefined} count={answer.length} empty={NONE}>
        <Table
          label="Coverage"
          columns={columns}
          rows={answer}
          keyOf={({ queue, name, version }) => `${queue} ${name}@${version}`}
          attributes={({ name, version, served }) => ({
            'data-testid': 'coverage-row',
            'data-task': `${name}@${version}`,
            'data-served': served,
            className: served ? '' : 'bg-bad/10',
          })}
        />
      </Listing>
    </Page>
  )
}

function summary(unserved: number): string {
  if (unserved === 0) return 'Every waiting version has a live host.'
  if (unserved === 1) return '1 version waits and no live host can run it.'
  return `${unserved} versions wait and no live host can run them.`
}

function ServedBy({ row: { served, workers } }: { row: CoverageRow }) {
  if (!served) return <LookMark look={NO_HOST} />
  return (
    <Names names={workers} most={8}>
      {(worker) => (
        <Link to="/tasks" search={{ status: ['running'], host: worker }} className="hover:underline">
          <Foreign text={worker} max={40} />
        </Link>
      )}
    </Names>
  )
}
