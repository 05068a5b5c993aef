import { Link } from '@tanstack/react-router'
import type { TaskStatus, WorkerRow } from '@taskfleet/protocol'
import { formatCount } from '../view/counts.ts'
import { DOWNLOAD } from '../view/download-task.ts'
import { type DownloadHost, type OriginLine, originSearch } from '../view/downloads.ts'
import { formatBytes } from '../view/format.ts'
import { visibleLine } from '../view/text.ts'
import { Foreign } from './foreign.tsx'
import { HostLink } from './host-link.tsx'
import { HostState } from './host-state.tsx'
import { OriginLink } from './origin-link.tsx'
import { type Column, Table } from './table.tsx'

const SHOWN_ORIGINS = 50
/** A disk with less of itself free wants a look. */
const LITTLE = 0.05

const rateOf = (rate: number): string => (rate === 0 ? '–' : `${formatBytes(rate)}/s`)

interface OriginsProps {
  lines: readonly OriginLine[]
  /** In which time failures are counted, in words. */
  range: string
  /** Which counts are of the first ones only. */
  cut: Record<'running' | 'waiting' | 'failed', boolean>
}

/** From where downloads come: what runs, waits and failed of each origin, and how fast it is. */
export function DownloadOrigins({ lines, range, cut }: OriginsProps) {
  if (lines.length === 0) return null
  const count = (title: string, what: 'running' | 'waiting' | 'failed', status: TaskStatus[]): Column<OriginLine> => ({
    title,
    number: true,
    cell: ({ origin, [what]: value }) => {
      if (value === 0 || origin === undefined) return <span className="text-dim">{formatCount(value)}</span>
      return (
        <Link
          to="/tasks"
          search={{ name: DOWNLOAD, q: originSearch(origin), status }}
          aria-label={`${formatCount(value)} ${what} from ${visibleLine(origin, 60)}`}
          className={`hover:underline ${what === 'failed' ? 'text-bad' : ''}`}
        >
          {formatCount(value)}
        </Link>
      )
    },
  })
  const columns: Column<OriginLine>[] = [
    {
      title: 'Origin',
      cell: ({ origin }) =>
        origin === undefined ? (
          <span className="text-dim">not known yet</span>
        ) : (
          <OriginLink origin={origin} className="font-medium" />
        ),
    },
    count('Running', 'running', ['running']),
    count('Waiting', 'waiting', ['pending', 'paused', 'blocked']),
    count('Failed', 'failed', ['failed']),
    { title: 'Rate', number: true, cell: ({ rate }) => rateOf(rate) },
  ]
  const parts = (['running', 'waiting', 'failed'] as const).filter((what) => cut[what])
  return (
    <section aria-label="Origins" className="flex flex-col gap-2">
      <h2 className="heading px-1">Origins</h2>
      <Table
        label="Origins"
        columns={columns}
        rows={lines.slice(0, SHOWN_ORIGINS)}
        keyOf={({ origin }) => origin ?? ''}
        attributes={({ origin }) => ({ 'data-testid': 'origin-row', 'data-origin': origin ?? '' })}
      />
      <p className="px-1 text-xs text-dim">
        Failed counts what failed {range}.
        {parts.length > 0 && ` There are more ${parts.join(' and ')} downloads than are counted here.`}
        {lines.length > SHOWN_ORIGINS && ` ${formatCount(lines.length - SHOWN_ORIGINS)} more origins are not shown.`}
      </p>
    </section>
  )
}

/** Who downloads: how many, how fast, and how much room is left. */
export function DownloadHosts({ hosts, now }: { hosts: readonly DownloadHost[]; now: number }) {
  if (hosts.length === 0) return null
  const columns: Column<DownloadHost>[] = [
    { title: 'Host', cell: ({ worker }) => <HostLink name={worker.name} className="font-medium" /> },
    { title: 'State', cell: (line) => <HostState {...line} now={now} /> },
    { title: 'Running', number: true, cell: ({ running }) => formatCount(running) },
    { title: 'Rate', number: true, cell: ({ rate }) => rateOf(rate) },
    { title: 'Disk', className: 'sm:w-[38%]', cell: ({ worker }) => <Disks worker={worker} /> },
  ]
  return (
    <section aria-label="Hosts" className="flex flex-col gap-2">
      <h2 className="heading px-1">Hosts</h2>
      <Table
        label="Hosts"
        columns={columns}
        rows={hosts}
        keyOf={({ worker }) => worker._id}
        attributes={({ worker, state }) => ({
          'data-testid': 'download-host',
          'data-host': worker.name,
          'data-state': state,
        })}
      />
    </section>
  )
}

function Disks({ worker: { disks = [] } }: { worker: WorkerRow }) {
  if (disks.length === 0) return <span className="text-dim">–</span>
  return (
    <ul className="flex flex-col gap-1">
      {disks.map(({ folder, free, total }) => (
        <li key={folder} className="flex items-center gap-2" title={visibleLine(folder, 300)}>
          <span className={`bar block w-14 shrink-0 ${free < total * LITTLE ? 'text-bad' : 'text-wait'}`} aria-hidden>
            <i style={{ transform: `scaleX(${total > 0 ? 1 - Math.min(1, free / total) : 0})` }} />
          </span>
          <span className="shrink-0 whitespace-nowrap">
            {formatBytes(free)} free of {formatBytes(total)}
          </span>
          <span className="min-w-0 truncate text-xs text-dim">
            <Foreign text={folder} max={80} />
          </span>
        </li>
      ))}
    </ul>
  )
}
