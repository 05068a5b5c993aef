import { Link } from '@tanstack/react-router'
import type { CoverageRow } from '@taskfleet/protocol'
import { useFleetClient, useServerTime } from '@taskfleet/react'
import { ServerOff } from 'lucide-react'
import { Foreign } from '../components/foreign.tsx'
import { EmptyNote, RowsProblem } from '../components/notes.tsx'
import { Refresh } from '../components/refresh.tsx'
import { CELL, Table } from '../components/table.tsx'
import { useAsked } from '../live/use-asked.ts'
import { formatAge, formatTime } from '../view/format.ts'

const AGAIN_MS = 4_000

const COLUMNS = [
  { title: 'Task' },
  { title: 'Queue' },
  { title: 'Waiting', number: true },
  { title: 'Due', number: true },
  { title: 'Running', number: true },
  { title: 'Oldest', number: true },
  { title: 'Served by' },
  { title: 'Made by' },
]

/** Which `name@version` waits, and which hosts can run it: before and after a deploy nothing may be left behind. */
export function CoveragePage() {
  const client = useFleetClient()
  const now = useServerTime()
  const { answer, at, error, tryAgain } = useAsked(() => client.tasks.coverage(), {
    key: 'coverage',
    everyMs: AGAIN_MS,
  })
  const unserved = answer?.filter(({ served }) => !served).length ?? 0
  return (
    <div className="mx-auto flex w-full max-w-[1400px] flex-col gap-3 p-3 sm:p-4">
      <div className="flex flex-wrap items-center gap-x-4 gap-y-2">
        <h1 className="text-base font-semibold">Coverage</h1>
        <p role="status" className={unserved > 0 ? 'font-medium text-bad' : 'text-dim'}>
          {answer !== undefined &&
            answer.length > 0 &&
            (unserved === 0
              ? 'Everything that waits has a live host.'
              : `${unserved} ${unserved === 1 ? 'version waits' : 'versions wait'} and no live host can run ${unserved === 1 ? 'it' : 'them'}.`)}
        </p>
        <Refresh at={at} now={now} onRefresh={tryAgain} />
      </div>
      <RowsProblem views={[{ error, tryAgain }]} />
      {answer === undefined && error === undefined && <EmptyNote title="Asking the gateway…" />}
      {answer?.length === 0 && (
        <EmptyNote title="Nothing waits and nothing runs">
          Versions of tasks show up here as soon as there is one of them.
        </EmptyNote>
      )}
      {answer !== undefined && answer.length > 0 && (
        <Table label="Coverage" columns={COLUMNS}>
          {answer.map((row) => (
            <CoverageLine key={`${row.queue} ${row.name}@${row.version}`} row={row} now={now} />
          ))}
        </Table>
      )}
    </div>
  )
}

const WORKERS_SHOWN = 8

function CoverageLine({ row, now }: { row: CoverageRow; now: number }) {
  const { queue, name, version, waiting, due, running, oldest, workers, served, schedules, callbacks } = row
  const number = `${CELL} text-right whitespace-nowrap`
  return (
    <tr
      data-testid="coverage-row"
      data-task={`${name}@${version}`}
      data-served={served}
      className={served ? '' : 'bg-bad/10'}
    >
      <td className={CELL}>
        <Link to="/tasks" search={{ name }} className="font-medium hover:underline">
          <Foreign text={name} max={80} />
          <span className="text-dim">@{version}</span>
        </Link>
      </td>
      <td className={CELL}>
        <Foreign text={queue} max={40} />
      </td>
      <td className={number}>{waiting.toLocaleString('en')}</td>
      <td className={number}>{due.toLocaleString('en')}</td>
      <td className={number}>{running.toLocaleString('en')}</td>
      <td className={number} title={oldest === undefined ? undefined : formatTime(oldest)}>
        {oldest === undefined ? '–' : age(now - Date.parse(oldest))}
      </td>
      <td className={CELL}>
        {served ? (
          <>
            {workers.slice(0, WORKERS_SHOWN).map((worker, index) => (
              <span key={worker}>
                {index > 0 && ', '}
                <Link to="/tasks" search={{ status: ['running'], host: worker }} className="hover:underline">
                  <Foreign text={worker} max={40} />
                </Link>
              </span>
            ))}
            {workers.length > WORKERS_SHOWN && (
              <span className="text-dim"> and {workers.length - WORKERS_SHOWN} more</span>
            )}
          </>
        ) : (
          <span className="inline-flex items-center gap-1.5 font-medium text-bad">
            <ServerOff size={14} aria-hidden /> No live host
          </span>
        )}
      </td>
      <td className={CELL}>
        {schedules.map((schedule, index) => (
          <span key={schedule}>
            {index > 0 && ', '}
            <Foreign text={schedule} max={40} />
          </span>
        ))}
        {callbacks > 0 && (
          <span>
            {schedules.length > 0 && ', '}
            {callbacks === 1 ? 'a callback' : `${callbacks} callbacks`}
          </span>
        )}
      </td>
    </tr>
  )
}

function age(ms: number): string {
  return ms >= 0 ? `${formatAge(ms)} ago` : `in ${formatAge(-ms)}`
}
