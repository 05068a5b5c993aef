import { ChevronDown, ChevronUp } from 'lucide-react'
import type { ReactNode } from 'react'
import { nextSort, sortsOf, type TaskColumn } from '../view/task-columns.ts'
import { SORTS, type SortName, type TaskSearch } from '../view/task-search.ts'
import { ColumnEdge } from './column-edge.tsx'
import { Pinned } from './pinned.tsx'
import { LINE, type LineLayout, TRACKS } from './task-line.tsx'

/** Its height in pixels; it stays while the rows scroll. */
export const HEADING = 34

interface Props {
  layout: LineLayout
  search: TaskSearch
  sort: SortName
  /** The order if none is chosen. */
  usual: SortName
  /** The box that selects all rows; undefined if rows can't be selected. */
  box: ReactNode
  onSort: (sort: SortName) => void
  /** A column is being made wider or narrower. */
  onSize: (id: string, width: number) => void
  /** It has its width; undefined for the usual one. */
  onSized: (id: string, width: number | undefined) => void
}

/** The headings of the wide list. */
export function TaskHeading({ layout: { columns, pinned }, box, ...props }: Props) {
  const heads = columns.map((column) => <Heading key={column.id} {...props} column={column} />)
  const select = box !== undefined && (
    <span role="columnheader" tabIndex={-1} className="flex justify-center">
      {box}
    </span>
  )
  return (
    <div role="rowgroup" className="sticky top-0 z-20 border-b border-line bg-panel">
      <div
        role="row"
        aria-rowindex={1}
        className={`heading items-center overflow-x-clip bg-panel ${LINE}`}
        style={{ ...TRACKS, height: HEADING - 1 }}
      >
        <Pinned tracks={pinned === 0 ? 0 : pinned + (box === undefined ? 0 : 1)}>
          {select}
          {heads.slice(0, pinned)}
        </Pinned>
        {heads.slice(pinned)}
        <span role="columnheader" tabIndex={-1} className="sr-only">
          Actions
        </span>
      </div>
    </div>
  )
}

type HeadingProps = Omit<Props, 'layout' | 'box'> & { column: TaskColumn }

/** The heading of a column; a button where the list can be put in its order. Its edge changes the width. */
function Heading({ column, search, sort, usual, onSort, onSize, onSized }: HeadingProps) {
  const sorts = sortsOf(column, search)
  const isSorted = sorts.includes(sort)
  const isDown = Object.values(SORTS[sort].sort)[0] === -1
  const Arrow = isDown ? ChevronDown : ChevronUp
  const arrow = isSorted && <Arrow size={12} aria-hidden className="shrink-0" />
  return (
    <span
      role="columnheader"
      tabIndex={-1}
      // Without it, the edge would be part of its name.
      aria-label={column.title}
      aria-sort={isSorted ? (isDown ? 'descending' : 'ascending') : undefined}
      className={`relative flex min-w-0 items-center self-stretch ${column.right === true ? 'justify-end' : ''}`}
    >
      {sorts.length === 0 ? (
        <span className="truncate" title={column.id}>
          {column.title}
        </span>
      ) : (
        <button
          type="button"
          className={`heading inline-flex min-w-0 items-center gap-0.5 overflow-hidden rounded hover:text-text ${isSorted ? 'text-text' : ''}`}
          title={sorts.map((name) => SORTS[name].label).join(', ')}
          onClick={() => onSort(nextSort(sorts, sort, usual))}
        >
          {column.title}
          {arrow}
        </button>
      )}
      <ColumnEdge
        column={column}
        onSize={(width) => onSize(column.id, width)}
        onSized={(width) => onSized(column.id, width)}
      />
    </span>
  )
}
