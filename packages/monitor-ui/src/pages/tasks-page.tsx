import { getRouteApi } from '@tanstack/react-router'
import { STATUSES, type TaskRow } from '@taskfleet/protocol'
import { useLiveQuery, useStats } from '@taskfleet/react'
import { useMemo, useState } from 'react'
import { ColumnChooser } from '../components/column-chooser.tsx'
import { RowsProblem } from '../components/notes.tsx'
import { SavedViews } from '../components/saved-views.tsx'
import { TaskFacet } from '../components/task-facet.tsx'
import { TaskFilters, type Tool } from '../components/task-filters.tsx'
import { TaskHistogram } from '../components/task-histogram.tsx'
import { TaskList } from '../components/task-list.tsx'
import { useKept, useMinute, useTaskNames, useWorkers } from '../live/hooks.ts'
import { WORKERS } from '../live/queries.ts'
import { useOlderTasks } from '../live/use-older-tasks.ts'
import { keepChoice, keptChoice } from '../shell/kept-choice.ts'
import { useMedia } from '../shell/use-media.ts'
import { useRange } from '../shell/use-range.ts'
import { useTitle } from '../shell/use-title.ts'
import { rangeOf } from '../view/range.ts'
import { changedSearch } from '../view/search.ts'
import { countsPlan } from '../view/status-counts.ts'
import { columnsOf, DEFAULT_COLUMNS, type TaskColumn, writeColumns } from '../view/task-columns.ts'
import { chosenOf, type FacetName } from '../view/task-facets.ts'
import {
  FIRST_LIMIT,
  filtersOf,
  MOST_ROWS,
  sortOf,
  type TaskSearch,
  taskQuery,
  usualSort,
  writeTaskSearch,
} from '../view/task-search.ts'

const route = getRouteApi('/tasks')
const FACETS: readonly [FacetName, title: string][] = [
  ['name', 'Handler'],
  ['queue', 'Queue'],
  ['host', 'Host'],
  ['error', 'Error'],
  ['version', 'Version'],
]
const MOST_LABELS = 8

export function TasksPage() {
  const search = route.useSearch()
  const navigate = route.useNavigate()
  const workers = useWorkers()
  const hosts = useLiveQuery(WORKERS)
  const minute = useMinute()
  const { chosen } = useRange()
  const range = useMemo(() => (chosen === undefined ? undefined : rangeOf(chosen, minute)), [chosen, minute])
  const [usualColumns, setUsualColumns] = useState(() => keptChoice('columns') ?? DEFAULT_COLUMNS)
  const columnNames = search.columns ?? usualColumns
  const columns = useMemo(() => columnsOf(columnNames), [columnNames])
  const shownNames = columns.map(({ id }) => id).join(',')
  const setColumns = (columns: readonly TaskColumn[]) => {
    const text = writeColumns(columns)
    const chosen = text === DEFAULT_COLUMNS ? undefined : text
    keepChoice('columns', chosen)
    setUsualColumns(text)
    setSearch(changedSearch(search, { columns: chosen }))
  }
  // What only the page shows makes no other query.
  const meaning = JSON.stringify(writeTaskSearch(filtersOf(search)))
  const limit = search.limit ?? FIRST_LIMIT
  const query = useMemo(
    () => taskQuery({ ...search, columns: shownNames }, minute, range),
    [meaning, limit, shownNames, minute, range],
  )
  // A larger limit and a later minute leave the list the same.
  const queryId = `${meaning} ${chosen ?? ''}`
  const view = useKept(queryId, useLiveQuery(query))
  const { rows, loaded, error } = view
  const older = useOlderTasks(queryId, query, rows)
  const plan = useMemo(() => (range === undefined ? countsPlan(search) : undefined), [meaning, range])
  const statistics = useStats(plan?.filter)
  const { stats } = statistics
  const setSearch = (next: TaskSearch) => void navigate({ search: next, replace: true })
  const names = useTaskNames()
  const hostNames = useMemo(
    () => [...new Set([...workers.values()].flatMap(({ role, name }) => (role === 'worker' ? name : [])))].sort(),
    [workers],
  )
  const known = useMemo(() => knownValues(rows, names, hostNames), [rows, names, hostNames])
  const [sort, usual] = [sortOf(search, range), usualSort(search, range)]
  const isRoomy = useMedia('(min-width: 640px) and (min-height: 640px)')
  const [wantsChart, setChart] = useState(() => keptChoice('tasks.chart'))
  const chart = wantsChart === undefined ? isRoomy : wantsChart === 'on'
  useTitle('Tasks')

  const shownRows = () => (older.rows.length === 0 ? rows : [...rows, ...older.rows.map(({ row }) => row)])
  const facet = (facet: FacetName, title: string, known?: readonly string[]) => (
    <TaskFacet
      key={facet}
      facet={facet}
      title={title}
      search={search}
      rows={shownRows()}
      byRange={chosen !== undefined}
      {...(known !== undefined && { known })}
      onChange={setSearch}
    />
  )
  const labels = Object.keys(known).filter((name) => name.startsWith('label.')) as FacetName[]
  const chosenLabels = labels.flatMap((name) => chosenOf(name, search) ?? [])
  const tools: Tool[] = [
    ...FACETS.map(([name, title]) => ({
      id: name,
      label: title,
      chosen: chosenOf(name, search),
      content: () => facet(name, title, name === 'host' ? hostNames : undefined),
    })),
    {
      id: 'label',
      label: 'Label',
      chosen: chosenLabels.length === 0 ? undefined : chosenLabels.join(', '),
      content: () => (
        <div className="flex flex-col gap-3">
          {labels.slice(0, MOST_LABELS).map((name) => facet(name, name.slice('label.'.length)))}
          {labels.length === 0 && <p className="text-xs text-dim">None of the tasks shown has a label.</p>}
        </div>
      ),
    },
    {
      id: 'views',
      label: 'Views',
      aside: true,
      content: (close) => (
        <SavedViews
          search={{
            ...search,
            ...(columnNames !== DEFAULT_COLUMNS && { columns: columnNames }),
            ...(chosen !== undefined && { range: chosen }),
          }}
          onClose={close}
        />
      ),
    },
    {
      id: 'columns',
      label: 'Columns',
      aside: true,
      content: () => (
        <ColumnChooser
          columns={columns}
          paths={Object.keys(known).flatMap((key) =>
            key.startsWith('label.') ? key.replace('label.', 'labels.') : [],
          )}
          onChange={setColumns}
        />
      ),
    },
  ]

  return (
    // The open task lies over all of this. In a low window the page scrolls behind it.
    <div className="relative h-full min-h-0 overflow-hidden">
      <div className="flex h-full min-h-0 flex-col gap-2 overflow-auto p-3 sm:p-4">
        <h1 className="sr-only">Tasks</h1>
        <TaskFilters
          search={search}
          onChange={setSearch}
          counts={stats === undefined ? undefined : plan?.pick(stats)}
          hosts={hostNames}
          known={known}
          sort={sort}
          usual={usual}
          tools={tools}
          chart={chart}
          onChart={(on) => {
            keepChoice('tasks.chart', on ? 'on' : 'off')
            setChart(on ? 'on' : 'off')
          }}
        />
        {chart && <TaskHistogram search={search} />}
        <RowsProblem views={[view, hosts, statistics]} />
        {(error === undefined || rows.length > 0) && (
          <TaskList
            queryId={queryId}
            rows={rows}
            loaded={loaded}
            filter={query.filter ?? {}}
            filtered={chosen !== undefined || Object.keys(filtersOf(search)).some((field) => field !== 'sort')}
            longer={
              rows.length >= limit && limit < MOST_ROWS ? () => setSearch({ ...search, limit: MOST_ROWS }) : undefined
            }
            older={older}
            columns={columns}
            onColumns={setColumns}
            search={search}
            sort={sort}
            usual={usual}
            onSort={(next) => setSearch(changedSearch(search, { sort: next === usual ? undefined : next }))}
            onOpen={(id) => {
              // Back closes what was opened from the list.
              const replace = search.open !== undefined || id === undefined
              void navigate({ search: changedSearch(search, { open: id }), replace })
            }}
          />
        )}
      </div>
    </div>
  )
}

/** The values of the rows and of the fleet, for proposals. */
function knownValues(
  rows: readonly TaskRow[],
  names: readonly string[],
  hosts: readonly string[],
): Record<string, readonly string[]> {
  const known = new Map<string, Set<string>>([
    ['status', new Set(STATUSES)],
    ['name', new Set(names)],
    ['host', new Set(hosts)],
  ])
  const note = (key: string, value: string) => {
    const values = known.get(key) ?? new Set()
    known.set(key, values.add(value))
  }
  for (const { queue, labels = {}, error } of rows) {
    note('queue', queue)
    if (error?.code !== undefined) note('error', error.code)
    for (const [label, value] of Object.entries(labels)) note(`label.${label}`, value)
  }
  return Object.fromEntries([...known].map(([key, values]) => [key, [...values]]))
}
