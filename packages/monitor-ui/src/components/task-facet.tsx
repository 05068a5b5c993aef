import type { TaskRow } from '@taskfleet/protocol'
import { useStats } from '@taskfleet/react'
import { useMemo } from 'react'
import { useHistory } from '../live/use-history.ts'
import { countOf, formatCountShort } from '../view/counts.ts'
import {
  chooseFacet,
  chosenOf,
  countRows,
  type FacetCount,
  type FacetName,
  type FacetSource,
  facetSource,
} from '../view/task-facets.ts'
import type { TaskSearch } from '../view/task-search.ts'
import { visibleLine } from '../view/text.ts'

const MOST_SHOWN = 60

interface Props {
  facet: FacetName
  title: string
  search: TaskSearch
  rows: readonly TaskRow[]
  /** Whether a time range is chosen. */
  byRange: boolean
  /** Values that may be chosen although no task was counted, such as hosts without one. */
  known?: readonly string[]
  onChange: (search: TaskSearch) => void
}

/** The values of a facet with how many tasks have each. Another click takes the choice back. */
export function TaskFacet(props: Props) {
  const { facet, search, rows, byRange } = props
  const source = useMemo(() => facetSource(facet, search, byRange), [facet, search, byRange])
  if (source.kind === 'stats') return <StatsValues {...props} source={source} />
  if (source.kind === 'history') return <HistoryValues {...props} source={source} />
  return <Values {...props} counts={countRows(facet, rows)} of={`in the ${countOf(rows.length, 'task')} shown`} />
}

type Of<Kind> = Props & { source: Extract<FacetSource, { kind: Kind }> }

function StatsValues({ source, ...props }: Of<'stats'>) {
  const { stats } = useStats(source.filter)
  return <Values {...props} counts={stats && source.pick(stats)} of="in the whole fleet" />
}

function HistoryValues({ source, ...props }: Of<'history'>) {
  const { history } = useHistory()
  return <Values {...props} counts={history && source.pick(history.rows)} of="ended in this time" />
}

interface ValuesProps extends Props {
  /** Undefined while nothing is known. */
  counts: readonly FacetCount[] | undefined
  /** What was counted. */
  of: string
}

function Values({ facet, title, search, known = [], counts, of, onChange }: ValuesProps) {
  const chosen = chosenOf(facet, search)
  const found = counts ?? []
  const values = new Set(found.map(([value]) => value))
  const others = [...new Set([...(chosen === undefined ? [] : [chosen]), ...known])].filter((one) => !values.has(one))
  const shown: [string, number][] = [
    ...found.slice(0, MOST_SHOWN).map(([value, count]): [string, number] => [value, count]),
    ...others.slice(0, MOST_SHOWN).map((value): [string, number] => [value, 0]),
  ]
  const left = found.length - MOST_SHOWN
  return (
    <div className="flex flex-col gap-1.5">
      <p className="text-xs text-dim">
        <span className="font-semibold text-text">{title}</span>, {of}
        {left > 0 && `, the first ${MOST_SHOWN} of ${found.length}`}
      </p>
      <ul aria-label={title} className="flex flex-wrap gap-1.5">
        {shown.map(([value, count]) => (
          <li key={value} className="min-w-0">
            <button
              type="button"
              aria-pressed={value === chosen}
              className={`inline-flex min-h-7 max-w-full items-center gap-1.5 rounded-full border px-2.5 text-xs font-medium ${value === chosen ? 'border-current bg-raised text-run' : 'border-line hover:bg-raised'}`}
              onClick={() => onChange(chooseFacet(facet, value, search))}
            >
              <bdi className="truncate">{visibleLine(value, 60)}</bdi>
              {counts !== undefined && <span className="font-normal text-dim">{formatCountShort(count)}</span>}
            </button>
          </li>
        ))}
      </ul>
      {shown.length === 0 && <p className="text-xs text-dim">{counts === undefined ? 'Counting…' : 'None has one.'}</p>}
    </div>
  )
}
