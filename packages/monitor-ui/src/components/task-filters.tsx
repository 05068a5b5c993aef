import { STATUSES } from '@taskfleet/protocol'
import { AlarmClock, ChartColumn, ChevronDown, Search, X } from 'lucide-react'
import { type ReactNode, useState } from 'react'
import { type Counts, formatCount, formatCountShort } from '../view/counts.ts'
import { changedSearch } from '../view/search.ts'
import { STATUS_LOOK } from '../view/status.ts'
import { filtersOf, SORTS, type SortName, type TaskSearch, toggleStatus, writeTaskSearch } from '../view/task-search.ts'
import { parseTokens, proposals } from '../view/task-tokens.ts'
import { visibleLine } from '../view/text.ts'
import { LinkButton } from './button.tsx'
import { Chip } from './chip.tsx'
import { SettledInput } from './settled-input.tsx'

const AT_RISK = { icon: AlarmClock, label: 'At risk / missed deadline', tone: 'text-warn' }

/** A part of the filters that is shown on request. */
export interface Tool {
  id: string
  label: string
  /** Beside the label: what is chosen. */
  chosen?: string | undefined
  /** At the right: it changes no filter. */
  aside?: boolean
  content: (close: () => void) => ReactNode
}

export function TaskFilters({
  search,
  onChange,
  counts,
  hosts,
  known,
  sort,
  usual,
  tools,
  chart,
  onChart,
}: {
  search: TaskSearch
  onChange: (search: TaskSearch) => void
  /** The number of tasks by status within the other filters. `undefined` where it is unknown. */
  counts: Counts | undefined
  hosts: string[]
  /** The values that proposals know, by key. */
  known: Readonly<Record<string, readonly string[]>>
  sort: SortName
  /** The order if none is chosen. */
  usual: SortName
  tools: readonly Tool[]
  /** Whether the chart is shown. */
  chart: boolean
  onChart: (chart: boolean) => void
}) {
  const { status = [] } = search
  const [typed, setTyped] = useState('')
  const [problem, setProblem] = useState<string>()
  const [shown, setShown] = useState<string>()
  const tool = tools.find(({ id }) => id === shown)
  const change = (changes: Parameters<typeof changedSearch<TaskSearch>>[1]) => onChange(changedSearch(search, changes))
  const button = ({ id, label, chosen }: Tool) => (
    <button
      key={id}
      type="button"
      aria-expanded={id === shown}
      className={`button min-h-7 px-2 py-0 text-xs ${id === shown ? 'bg-raised' : ''} ${chosen === undefined ? 'text-dim' : 'text-run'}`}
      onClick={() => setShown(id === shown ? undefined : id)}
    >
      {label}
      {chosen !== undefined && <span className="max-w-40 truncate font-semibold">{visibleLine(chosen, 40)}</span>}
      <ChevronDown size={13} aria-hidden className={id === shown ? 'rotate-180' : ''} />
    </button>
  )
  return (
    <div className="panel flex flex-col gap-2 p-2" role="search" aria-label="Filter tasks">
      <div className="flex flex-wrap items-center gap-2">
        <div className="relative flex min-w-[220px] flex-[2] items-center max-sm:basis-full">
          <Search size={14} className="pointer-events-none absolute left-2.5 text-dim" aria-hidden />
          <SettledInput
            id="task-filter"
            label="Search text"
            placeholder="Words of the title, an id, or status:failed label.customer:cus_1 ended:<1h"
            className="field w-full pl-8"
            list="search-proposals"
            value={search.q ?? ''}
            onTyped={setTyped}
            onSettled={(value) => {
              const { search: read, problem } = parseTokens(value)
              setProblem(problem)
              if (problem === undefined) change({ q: '', ...read })
            }}
          />
          <datalist id="search-proposals">
            {proposals(typed, known).map((text) => (
              <option key={text} value={text} />
            ))}
          </datalist>
        </div>
        <SettledInput
          label="Task name"
          placeholder="Task name"
          className="field min-w-[110px] flex-1 max-sm:hidden lg:max-w-[180px]"
          value={search.name ?? ''}
          onSettled={(value) => change({ name: value.trim() })}
        />
        <select
          aria-label="Host"
          className="field min-w-[110px] flex-1 max-sm:hidden lg:max-w-[180px]"
          value={search.host ?? ''}
          onChange={(event) => change({ host: event.target.value })}
        >
          <option value="">Any host</option>
          {[...new Set([...hosts, search.host ?? []].flat())].map((host) => (
            <option key={host} value={host}>
              {visibleLine(host, 60)}
            </option>
          ))}
        </select>
        <select
          aria-label="Sort"
          className="field min-w-[130px] flex-1 lg:max-w-[180px]"
          value={sort}
          onChange={({ target: { value } }) => change({ sort: value === usual ? '' : (value as SortName) })}
        >
          {(Object.keys(SORTS) as SortName[]).map((name) => (
            <option key={name} value={name}>
              {SORTS[name].label}
            </option>
          ))}
        </select>
      </div>
      {problem !== undefined && (
        <p role="alert" className="px-1 text-bad">
          {visibleLine(problem, 200)}
        </p>
      )}
      <div
        role="group"
        aria-label="Status"
        className="flex gap-1.5 max-sm:overflow-x-auto max-sm:pb-0.5 sm:flex-wrap [&>*]:shrink-0"
      >
        {STATUSES.map((one) => {
          const count = counts === undefined ? undefined : (counts[one] ?? 0)
          const look = STATUS_LOOK[one]
          return (
            <Chip
              key={one}
              look={look}
              on={status.includes(one)}
              aria-label={look.label}
              title={count === undefined ? undefined : `${formatCount(count)} ${look.label.toLowerCase()}`}
              onClick={() => onChange(toggleStatus(search, one))}
            >
              {count !== undefined && (
                <span data-testid="status-count" data-status={one} className={count === 0 ? 'opacity-60' : 'text-text'}>
                  {formatCountShort(count)}
                </span>
              )}
            </Chip>
          )
        })}
        <Chip
          look={AT_RISK}
          on={search.deadline !== undefined}
          title="Tasks that have missed their deadline, or were raised because it is near"
          onClick={() => change({ deadline: search.deadline === undefined ? 'risk' : undefined })}
        />
        {search.queue !== undefined && (
          <Chip
            look={{ icon: X, label: `Queue ${visibleLine(search.queue, 40)}`, tone: 'text-run' }}
            on
            aria-label={`Queue ${visibleLine(search.queue, 60)}: show every queue`}
            onClick={() => change({ queue: undefined })}
          />
        )}
        {Object.keys(writeTaskSearch(filtersOf(search))).length > 0 && (
          <LinkButton
            className="min-h-7 px-2.5 text-xs"
            onClick={() => onChange(changedSearch<TaskSearch>({}, { columns: search.columns }))}
          >
            Clear
          </LinkButton>
        )}
      </div>
      <div className="flex items-center gap-1.5 max-sm:overflow-x-auto max-sm:pb-0.5 sm:flex-wrap [&>*]:shrink-0">
        {tools.filter(({ aside }) => aside !== true).map(button)}
        <div className="flex items-center gap-1.5 sm:ml-auto">
          {tools.filter(({ aside }) => aside === true).map(button)}
          <button
            type="button"
            aria-pressed={chart}
            title="How tasks ended over the time range"
            className={`button min-h-7 px-2 py-0 text-xs ${chart ? 'bg-raised text-text' : 'text-dim'}`}
            onClick={() => onChart(!chart)}
          >
            <ChartColumn size={13} aria-hidden /> Chart
          </button>
        </div>
      </div>
      {tool !== undefined && (
        <section
          aria-label={tool.label}
          className="max-h-[38dvh] overflow-auto rounded-md border border-line p-2"
          // The list has the key as well.
          onKeyDown={(event) => {
            if (event.key !== 'Escape') return
            event.preventDefault()
            setShown(undefined)
          }}
        >
          {tool.content(() => setShown(undefined))}
        </section>
      )}
    </div>
  )
}
