import type { QueryRequest, TaskRow } from '@taskfleet/protocol'
import { type ReactElement, useMemo, useRef } from 'react'
import { classes } from './parts/classes.ts'
import { HostCard } from './parts/host-card.tsx'
import { Problem, useOutdated } from './parts/problem.tsx'
import type { TaskSlots } from './parts/task-row.tsx'
import { LIST_FIELDS, WORKERS } from './queries.ts'
import { type WorkerView, workerView } from './row-source.ts'
import { type LiveQueryView, useLiveQuery } from './use-live-query.ts'
import { useServerTime } from './use-server-time.ts'

export interface FleetBoardProps extends TaskSlots {
  /** Which running tasks, such as `{ queue: 'video' }`; all by default. Hosts without such a task are shown as idle. */
  filter?: QueryRequest['filter']
  /** The name of the board for screen readers. */
  label?: string
  className?: string
}

/** So many running tasks are shown, those that run longest. */
const MOST = 500

/**
 * The hosts of the fleet with their running tasks: as rows with bars, and as cells on a host with more than six. Silent hosts are marked.
 * What is on the screen is watched over one connection a host.
 *
 * @example <FleetBoard filter={{ queue: 'video' }} onOpen={(task) => show(task._id)} />
 */
export function FleetBoard({ filter, label = 'Hosts', className, ...slots }: FleetBoardProps): ReactElement {
  const workers = useLiveQuery(WORKERS)
  const running = useLiveQuery({
    filter: { ...filter, status: 'running' },
    sort: { claimedAt: 1 },
    limit: MOST,
    fields: LIST_FIELDS,
  })
  const states = useStates(workers)
  const groups = useGroups(running.rows)
  // A host that is gone stays while tasks name it: they are taken back within seconds.
  const hosts = workers.rows.filter(
    ({ _id, role }, index) => groups.has(_id) || (role === 'worker' && isHere(states[index])),
  )
  const known = new Set(hosts.map(({ _id }) => _id))
  // Those that the key may not see, or that are too many.
  const others = workers.loaded || workers.error !== undefined ? [...groups].filter(([id]) => !known.has(id)) : []
  const loaded = workers.loaded && running.loaded
  return (
    <section
      className={classes('taskfleet taskfleet-board', className)}
      aria-label={label}
      aria-busy={!loaded}
      data-outdated={useOutdated(running)}
    >
      <Problem views={[workers, running]} />
      <div className="taskfleet-hosts">
        {hosts.map((worker) => (
          <HostCard
            key={worker._id}
            name={worker.name}
            worker={worker}
            state={states[workers.rows.indexOf(worker)]}
            tasks={groups.get(worker._id) ?? NONE}
            {...slots}
          />
        ))}
        {others.map(([id, tasks]) => (
          <HostCard key={id} name={tasks[0]?.host ?? 'Unknown host'} tasks={tasks} {...slots} />
        ))}
      </div>
      {loaded && hosts.length === 0 && others.length === 0 && <p className="taskfleet-note">There are no hosts yet.</p>}
      {running.rows.length >= MOST && <p className="taskfleet-note">The {MOST} tasks that run longest.</p>}
    </section>
  )
}

const NONE: readonly TaskRow[] = []

const isHere = (state: WorkerView | undefined): boolean => state !== 'stopped' && state !== 'gone'

/** The state of each worker. The board is rendered again when one changes, not with the clock. */
function useStates({ rows, live, loaded }: LiveQueryView<'workers'>): readonly WorkerView[] {
  // Stands still while the page is cut off, which makes no host silent.
  const known = useRef(0)
  const joined = useServerTime((now) => {
    if (live || !loaded) known.current = now
    return rows.map((worker) => workerView(worker, known.current)).join(' ')
  })
  return useMemo(() => joined.split(' ') as WorkerView[], [joined])
}

/** Tasks by their worker. A group without changes is the same array as before, so its host is not rendered again. */
function useGroups(tasks: readonly TaskRow[]): ReadonlyMap<string, readonly TaskRow[]> {
  const before = useRef<ReadonlyMap<string, readonly TaskRow[]>>(new Map())
  return useMemo(() => {
    const groups = new Map<string, readonly TaskRow[]>()
    for (const task of tasks) groups.set(task.worker ?? '', [...(groups.get(task.worker ?? '') ?? []), task])
    for (const [id, now] of groups) {
      const old = before.current.get(id)
      if (old?.length === now.length && now.every((task, index) => task === old[index])) groups.set(id, old)
    }
    before.current = groups
    return groups
  }, [tasks])
}
