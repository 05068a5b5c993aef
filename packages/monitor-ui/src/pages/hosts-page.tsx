import { Link } from '@tanstack/react-router'
import type { WorkerRow } from '@taskfleet/protocol'
import { useLiveQuery } from '@taskfleet/react'
import { CirclePause, CirclePlay } from 'lucide-react'
import { useMemo, useState } from 'react'
import { Box } from '../components/box.tsx'
import { Button, LinkButton } from '../components/button.tsx'
import { Foreign } from '../components/foreign.tsx'
import { HostLink } from '../components/host-link.tsx'
import { HostState } from '../components/host-state.tsx'
import { Listing } from '../components/listing.tsx'
import { Names } from '../components/names.tsx'
import { RowsProblem } from '../components/notes.tsx'
import { Page } from '../components/page.tsx'
import { type Column, Table } from '../components/table.tsx'
import { useAct } from '../components/use-act.ts'
import { type DrainAction, useDrain } from '../components/use-drain.ts'
import { useCan, useWorkersTime } from '../live/hooks.ts'
import { errorsOf, RUNNING, WORKERS } from '../live/queries.ts'
import { type HistoryView, useHistory } from '../live/use-history.ts'
import { useLeft } from '../live/use-left.ts'
import { countOf, formatCount } from '../view/counts.ts'
import { formatAge, formatBytes, formatShare, formatTime } from '../view/format.ts'
import { endsOf, failedShare, usualRuns } from '../view/history.ts'
import { type HostLine, hostLines, isAlive, untilEmpty } from '../view/host-lines.ts'
import { visibleLine } from '../view/text.ts'

const HOUR_MS = 3_600_000
const OPEN_ERRORS = errorsOf('open')
const NONE = {
  title: 'There are no hosts yet',
  hint: 'Start one with: taskfleet worker --tasks FILE. It appears here at once.',
}
const UNKNOWN = <span className="text-dim">–</span>

/** Every worker and gateway, to compare them and to drain several. */
export function HostsPage() {
  const mayControl = useCan('control')
  const workers = useLiveQuery(WORKERS)
  const running = useLiveQuery(RUNNING)
  const errors = useLiveQuery(OPEN_ERRORS).rows
  const ended = useHistory()
  const now = useWorkersTime()
  const { history } = ended
  const usual = useMemo(() => usualRuns(history?.rows ?? []), [history])
  const leftOfTask = useLeft(usual, now)
  const [chosen, setChosen] = useState<ReadonlySet<string>>(new Set())
  const lines = hostLines(workers.rows, now)
  const offered = lines.filter(isOffered)
  const selected = offered.filter(({ worker }) => chosen.has(worker._id))
  const toggle = (ids: readonly string[], on: boolean) => {
    const next = new Set(chosen)
    for (const id of ids) {
      if (on) next.add(id)
      else next.delete(id)
    }
    setChosen(next)
  }
  const emptyIn = ({ worker }: HostLine) => {
    const own = running.rows.filter((task) => task.worker === worker._id)
    return untilEmpty(worker.running, own.map(leftOfTask))
  }

  const allOffered = {
    checked: offered.length > 0 && selected.length === offered.length,
    onChange: (on: boolean) =>
      toggle(
        offered.map(({ worker }) => worker._id),
        on,
      ),
  }
  const box: Column<HostLine> = {
    title: 'Select',
    head: <Box label="Select all hosts" {...allOffered} />,
    className: 'w-9 min-w-9',
    cell: (line) =>
      isOffered(line) && (
        <Box
          label={`Select ${visibleLine(line.worker.name, 60)}`}
          checked={chosen.has(line.worker._id)}
          onChange={(on) => toggle([line.worker._id], on)}
        />
      ),
  }
  const columns: Column<HostLine>[] = [
    {
      title: 'Host',
      className: 'min-w-36',
      cell: ({ worker }) => (
        <>
          <HostLink name={worker.name} className="font-medium" />
          {worker.role === 'gateway' && <span className="block text-xs text-dim">Gateway only</span>}
        </>
      ),
    },
    {
      title: 'State',
      className: 'min-w-34',
      cell: (line) => (
        <>
          <HostState {...line} now={now} />
          {isDraining(line) && (
            <span className="block text-xs text-dim" data-testid="until-empty">
              {line.worker.running > 0 ? `until empty: ${emptyIn(line)}` : 'empty'}
            </span>
          )}
        </>
      ),
    },
    {
      title: 'Version',
      cell: ({ worker, state }) => (
        <>
          <Foreign text={worker.version} max={30} />
          {isAlive(state) && (
            <span className="block text-xs whitespace-nowrap text-dim" title={`Since ${formatTime(worker.startedAt)}`}>
              up {formatAge(now - Date.parse(worker.startedAt))}
            </span>
          )}
        </>
      ),
    },
    {
      title: 'Queues',
      className: 'min-w-32',
      cell: ({ worker }) => (
        <Names names={worker.queues} most={3}>
          {(queue) => (
            <Link to="/queues/$queue" params={{ queue }} className="hover:underline">
              <Foreign text={queue} max={40} />
            </Link>
          )}
        </Names>
      ),
    },
    {
      title: 'Slots',
      number: true,
      cell: ({ worker, state }) =>
        worker.role === 'worker' && isAlive(state)
          ? `${formatCount(worker.running)}/${formatCount(worker.slots)}`
          : UNKNOWN,
    },
    {
      title: 'CPU',
      number: true,
      cell: ({ worker: { load }, state }) =>
        isAlive(state) ? (
          <>
            <span title="The process's share of one processor core">{Math.round(load.cpu * 100)}&nbsp;%</span>
            {load.hostCpu !== undefined && (
              <span className="block text-xs text-dim">machine {formatShare(load.hostCpu)}</span>
            )}
          </>
        ) : (
          UNKNOWN
        ),
    },
    {
      title: 'Memory',
      number: true,
      cell: ({ worker: { load }, state }) =>
        isAlive(state) ? <span title={`${formatBytes(load.memoryFree)} free`}>{formatBytes(load.rss)}</span> : UNKNOWN,
    },
    {
      title: 'Loop',
      number: true,
      cell: ({ worker: { load }, state }) => (isAlive(state) ? <LoopDelay ms={load.eventLoopDelayMs} /> : UNKNOWN),
    },
    {
      title: 'Done an hour',
      number: true,
      cell: ({ worker }) => <Done ended={ended} worker={worker} what="done" />,
    },
    {
      title: 'Failed %',
      number: true,
      cell: ({ worker }) => <Done ended={ended} worker={worker} what="failed" />,
    },
    {
      title: 'Open error',
      className: 'min-w-34',
      cell: ({ worker }) => {
        const last = errors.find(({ hosts }) => hosts.includes(worker.name))
        if (worker.role === 'gateway' || last === undefined) return UNKNOWN
        return (
          <Link
            to="/errors/$fingerprint"
            params={{ fingerprint: last._id }}
            title={visibleLine(last.message, 300)}
            className="font-mono text-xs text-bad hover:underline"
          >
            <Foreign text={last.code} max={40} />
          </Link>
        )
      },
    },
  ]
  return (
    <Page
      title="Hosts"
      head={
        <>
          <p className="text-dim">{workers.loaded && summary(lines)}</p>
          {mayControl && (
            // On a phone the table has no heading.
            <span className="flex items-center gap-1 text-dim sm:hidden">
              <Box label="All hosts" {...allOffered} />
              <span aria-hidden>All</span>
            </span>
          )}
          {mayControl && selected.length > 0 && <ForSelected lines={selected} onNone={() => setChosen(new Set())} />}
        </>
      }
    >
      <RowsProblem views={[running, ended]} />
      <Listing views={[workers]} loaded={workers.loaded} count={lines.length} empty={NONE}>
        <Table
          label="Hosts"
          columns={mayControl ? [box, ...columns] : columns}
          rows={lines}
          keyOf={({ worker }) => worker._id}
          attributes={({ worker, state }) => ({
            'data-testid': 'host-row',
            'data-host': worker.name,
            'data-state': state,
            className: chosen.has(worker._id) ? 'bg-run/10' : '',
          })}
        />
      </Listing>
    </Page>
  )
}

const isDraining = ({ worker, state }: HostLine): boolean =>
  state === 'draining' || (state === 'running' && worker.control?.action === 'drain')

/** Whether it can be drained or resumed. */
const isOffered = ({ worker, state }: HostLine): boolean =>
  worker.role === 'worker' && (state === 'running' || state === 'draining')

function summary(lines: readonly HostLine[]): string {
  const alive = lines.filter(({ state }) => isAlive(state))
  const draining = lines.filter(isDraining).length
  const silent = lines.filter(({ state }) => state === 'silent').length
  return [
    `${countOf(alive.length, 'host')} live`,
    draining === 0 ? [] : `${draining} draining`,
    silent === 0 ? [] : `${silent} silent`,
  ]
    .flat()
    .join(', ')
}

function LoopDelay({ ms }: { ms: number }) {
  return (
    <span className={ms > 100 ? 'text-warn' : undefined} title="Delay of its event loop">
      {ms < 10 ? ms.toFixed(1) : Math.round(ms)}
      {'\u00a0'}ms
    </span>
  )
}

interface DoneProps {
  ended: HistoryView
  worker: WorkerRow
  what: 'done' | 'failed'
}

/** What a host did in the chosen range. */
function Done({ ended: { history }, worker, what }: DoneProps) {
  if (worker.role === 'gateway') return UNKNOWN
  if (history === undefined) return <span className="text-dim">…</span>
  const ends = endsOf(history.rows.filter(({ host }) => host === worker.name))
  const share = failedShare(ends)
  const perHour = (ends.completed * HOUR_MS) / (history.to - history.from)
  const text =
    what === 'done'
      ? perHour.toLocaleString('en', { maximumFractionDigits: perHour < 10 ? 1 : 0 })
      : share === undefined
        ? '–'
        : formatShare(share)
  return <span className={what === 'failed' && ends.failed > 0 ? 'text-bad' : ''}>{text}</span>
}

interface SelectedProps {
  lines: readonly HostLine[]
  onNone: () => void
}

/** Drains and resumes the selected hosts. */
function ForSelected({ lines, onNone }: SelectedProps) {
  const drain = useDrain()
  const { busy, actAside } = useAct()
  const fitting = { drain: lines.filter((line) => !isDraining(line)), resume: lines.filter(isDraining) }
  const press = (action: DrainAction) =>
    actAside(async () => {
      const done = await drain(
        action,
        fitting[action].map(({ worker }) => worker),
      )
      onNone()
      return done
    })
  return (
    <div role="group" aria-label="For the selected hosts" className="flex flex-wrap items-center gap-1.5 sm:ml-auto">
      <p role="status" className="font-medium">
        {lines.length} selected
      </p>
      <LinkButton className="p-1" onClick={onNone}>
        Clear selection
      </LinkButton>
      <Button icon={CirclePause} disabled={busy || fitting.drain.length === 0} onClick={() => press('drain')}>
        {fitting.drain.length > 1 ? `Drain ${fitting.drain.length}` : 'Drain'}
      </Button>
      <Button icon={CirclePlay} disabled={busy || fitting.resume.length === 0} onClick={() => press('resume')}>
        {fitting.resume.length > 1 ? `Resume ${fitting.resume.length}` : 'Resume'}
      </Button>
    </div>
  )
}
