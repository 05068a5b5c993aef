import { getRouteApi, Link } from '@tanstack/react-router'
import type { TaskRow, WorkerRow } from '@taskfleet/protocol'
import { useHeldRows, useLiveQuery, useServerTime, useStats } from '@taskfleet/react'
import { useTracks } from '@taskfleet/react/internal'
import { type ReactNode, useState } from 'react'
import { AddDownloads } from '../components/add-downloads.tsx'
import { LinkButton } from '../components/button.tsx'
import { DownloadHosts, DownloadOrigins } from '../components/download-places.tsx'
import { FailedDownload, RunningDownload } from '../components/download-rows.tsx'
import { Figure, Figures } from '../components/figure.tsx'
import { EmptyNote, RowsProblem } from '../components/notes.tsx'
import { Page } from '../components/page.tsx'
import { Part } from '../components/part.tsx'
import { useRowCommands } from '../components/use-row-commands.tsx'
import { WaitingRow } from '../components/waiting-list.tsx'
import { COUNTED, failedDownloads, RUNNING_DOWNLOADS, WAITING_DOWNLOADS } from '../live/download-queries.ts'
import { useCan, useKept, useWorkers, useWorkersTime } from '../live/hooks.ts'
import { BOARD_LIMIT, WORKERS } from '../live/queries.ts'
import { type HistoryView, useHistory } from '../live/use-history.ts'
import { useRange } from '../shell/use-range.ts'
import { formatCount, phases } from '../view/counts.ts'
import { DOWNLOAD, servesDownloads } from '../view/download-task.ts'
import { bytesLeft, downloadHosts, originLines, type RateOf } from '../view/downloads.ts'
import { formatBytes, formatShare } from '../view/format.ts'
import { endsOf, failedShare } from '../view/history.ts'
import { hostLines } from '../view/host-lines.ts'
import { RANGES } from '../view/range.ts'
import { changedSearch, type DownloadSearch } from '../view/search.ts'

/** More running downloads are shown on request. */
const SHOWN_RUNNING = 10
const SHOWN_WAITING = 10
const SHOWN_FAILED = 8
const route = getRouteApi('/downloads')

/** What is downloaded now and next, what failed, from where and by whom; and a list of addresses to add. */
export function DownloadsPage() {
  const { open, show } = route.useSearch()
  const navigate = route.useNavigate()
  const { chosen, ...range } = useRange()
  const tracks = useTracks()
  const now = useServerTime()
  const workersTime = useWorkersTime()
  const mayControl = useCan('control')
  const workers = useLiveQuery(WORKERS)
  const byId = useWorkers()
  const statistics = useStats()
  const running = useLiveQuery(RUNNING_DOWNLOADS)
  const waiting = useLiveQuery(WAITING_DOWNLOADS)
  const failed = useKept(chosen ?? '', useLiveQuery(failedDownloads(range)))
  const ended = useHistory({ name: DOWNLOAD })
  const [onWaiting, setOnWaiting] = useState(false)
  const [onFailed, setOnFailed] = useState(false)
  const next = useHeldRows('waiting downloads', waiting.rows, onWaiting).rows
  const past = useHeldRows(`failed downloads ${chosen}`, failed.rows, onFailed).rows
  const { run, dialog } = useRowCommands()

  const rateOf: RateOf = (task) => (task.progress?.unit === 'bytes' ? (tracks.of(task, now).rate(now) ?? 0) : 0)
  const change = (changes: DownloadSearch) =>
    void navigate({ search: (before) => changedSearch<DownloadSearch>(before, changes), replace: true })
  const toggle = (id: string) => change({ open: id === open ? undefined : id } as DownloadSearch)
  const counts = phases(statistics.stats?.byName[DOWNLOAD] ?? {})
  const counted = statistics.loaded
  const views = [workers, statistics, running, waiting, failed, ended]
  const loaded = counted && workers.loaded && running.loaded && waiting.loaded
  const all = counts.waiting + counts.running + counts.ended
  const isEmpty = loaded && all + running.rows.length + waiting.rows.length === 0
  const served = workers.rows.some(servesDownloads)
  const rows = { running: running.rows, waiting: waiting.rows, failed: failed.rows }
  const shown = show === 'all' ? running.rows : firstWith(running.rows, open)
  const hidden = running.rows.length - shown.length

  return (
    <Page title="Downloads">
      <RowsProblem views={views} />
      <AddDownloads />
      {isEmpty && (
        <EmptyNote title="There is no download yet">
          Add addresses above, or by the command line:
          <code className="mt-2 block font-mono text-xs text-text">taskfleet download URL</code>
          {!served && (
            <span className="mt-2 block">
              No worker serves downloads yet. Define one with <code className="font-mono">downloadDefinition</code> of{' '}
              <code className="font-mono">@taskfleet/downloads</code>.
            </span>
          )}
        </EmptyNote>
      )}
      {!loaded && views.every(({ error }) => error === undefined) && <EmptyNote title="Loading…" />}
      {!isEmpty && loaded && (
        <>
          <DownloadFigures
            running={counted ? counts.running : undefined}
            waiting={counted ? counts.waiting : undefined}
            tasks={running.rows}
            rateOf={rateOf}
            ended={ended}
          />
          {!served && counts.waiting > 0 && (
            <p role="status" className="rounded-md bg-bad/12 px-3 py-2 font-medium text-bad">
              No live worker serves downloads, so they wait.
            </p>
          )}
          <div className="grid grid-cols-[minmax(0,1fr)] items-start gap-3 lg:grid-cols-[minmax(0,1.7fr)_minmax(0,1fr)]">
            <Part
              title="Running"
              count={counted ? counts.running : undefined}
              all={{ label: 'All running', search: { name: DOWNLOAD, status: ['running'] } }}
            >
              {running.rows.length === 0 && <Nothing>No download runs.</Nothing>}
              <ul aria-label="Running downloads" className="flex flex-col gap-1">
                {shown.map((task) => (
                  <RunningDownload
                    key={task._id}
                    task={task}
                    worker={workerOf(task, byId)}
                    open={task._id === open}
                    onToggle={toggle}
                  />
                ))}
              </ul>
              {(hidden > 0 || show === 'all') && running.rows.length > SHOWN_RUNNING && (
                <LinkButton
                  className="px-2 py-1"
                  onClick={() => change({ show: show === 'all' ? undefined : 'all' } as DownloadSearch)}
                >
                  {show === 'all' ? `Only the first ${SHOWN_RUNNING}` : `${formatCount(hidden)} more`}
                </LinkButton>
              )}
            </Part>
            <div className="flex min-w-0 flex-col gap-3">
              <Part
                title="Next up"
                onPoint={setOnWaiting}
                count={counted ? counts.waiting : undefined}
                all={{
                  label: 'All waiting',
                  search: { name: DOWNLOAD, status: ['pending', 'paused', 'blocked'], sort: '-priority' },
                }}
              >
                {waiting.rows.length === 0 && <Nothing>No download waits.</Nothing>}
                <ul aria-label="Waiting downloads">
                  {next.slice(0, SHOWN_WAITING).map(({ row, gone }) => (
                    <WaitingRow key={row._id} task={row} now={now} gone={gone} />
                  ))}
                </ul>
              </Part>
              <Part
                title="Failed"
                onPoint={setOnFailed}
                count={failed.rows.length}
                all={{ label: 'All failed', search: { name: DOWNLOAD, status: ['failed'], sort: '-finishedAt' } }}
              >
                {failed.rows.length === 0 && (
                  <Nothing>{failed.loaded ? `No download failed ${rangeText(range.name)}.` : 'Loading…'}</Nothing>
                )}
                <ul aria-label="Failed downloads">
                  {past.slice(0, SHOWN_FAILED).map(({ row, gone }) => (
                    <FailedDownload
                      key={row._id}
                      task={row}
                      now={now}
                      gone={gone}
                      onRetry={mayControl ? (task) => run('retry', task) : undefined}
                    />
                  ))}
                </ul>
              </Part>
            </div>
          </div>
          <DownloadOrigins
            lines={originLines(rows, rateOf)}
            range={rangeText(range.name)}
            cut={{
              running: running.rows.length >= BOARD_LIMIT,
              waiting: waiting.rows.length >= COUNTED,
              failed: failed.rows.length >= COUNTED,
            }}
          />
          <DownloadHosts
            hosts={downloadHosts(hostLines(workers.rows, workersTime), running.rows, rateOf)}
            now={workersTime}
          />
        </>
      )}
      {dialog}
    </Page>
  )
}

const workerOf = ({ worker }: TaskRow, byId: ReadonlyMap<string, WorkerRow>) =>
  worker === undefined ? undefined : byId.get(worker)

/** The first ones, and the open one wherever it is. */
function firstWith(tasks: readonly TaskRow[], open: string | undefined): readonly TaskRow[] {
  return tasks.filter(({ _id }, index) => index < SHOWN_RUNNING || _id === open)
}

const rangeText = (name: keyof typeof RANGES | undefined): string =>
  name === undefined ? 'in this time range' : `in the ${RANGES[name].label.toLowerCase()}`

interface FiguresProps {
  /** Undefined while they are unknown. */
  running: number | undefined
  waiting: number | undefined
  tasks: readonly TaskRow[]
  rateOf: RateOf
  ended: HistoryView
}

function DownloadFigures({ running, waiting, tasks, rateOf, ended: { history } }: FiguresProps) {
  const tracks = useTracks()
  const now = useServerTime()
  const rate = tasks.reduce((sum, task) => sum + rateOf(task), 0)
  const left = bytesLeft(tasks.map((task) => ({ progress: tracks.of(task, now).latest ?? task.progress }) as TaskRow))
  const ends = endsOf(history?.rows ?? [])
  const share = failedShare(ends)
  const inRange = (count: number) => (history === undefined ? '…' : formatCount(count))
  return (
    <Figures label="Figures">
      <Figure label="Running" value={running === undefined ? '…' : formatCount(running)} />
      <Figure label="Waiting" value={waiting === undefined ? '…' : formatCount(waiting)} />
      <Figure
        label="Rate"
        value={`${formatBytes(rate)}/s`}
        of={tasks.length >= BOARD_LIMIT ? `of the first ${BOARD_LIMIT}` : undefined}
      />
      <Figure label="To fetch" value={formatBytes(left)} of="of what runs" />
      <Figure label="Completed" value={inRange(ends.completed)} of="in this range" />
      <Figure
        label="Failed"
        value={
          ends.failed === 0 ? (
            inRange(0)
          ) : (
            <Link
              to="/tasks"
              search={{ name: DOWNLOAD, status: ['failed'], sort: '-finishedAt' }}
              className="hover:underline"
            >
              {inRange(ends.failed)}
            </Link>
          )
        }
        of={share === undefined ? undefined : formatShare(share)}
        tone={ends.failed > 0 ? 'text-bad' : ''}
      />
    </Figures>
  )
}

function Nothing({ children }: { children: ReactNode }) {
  return <p className="px-2 py-2 text-dim">{children}</p>
}
