import type { ReactNode } from 'react'
import { ScrollRegion } from './scroll-region.tsx'

export interface Column<Row> {
  title: string
  /** The heading, if it is not the title. */
  head?: ReactNode
  /** Numbers are set to the right. */
  number?: boolean
  className?: string
  cell: (row: Row) => ReactNode
}

interface Props<Row> {
  label: string
  columns: readonly Column<Row>[]
  rows: readonly Row[]
  keyOf: (row: Row) => string
  /** Attributes of a row. */
  attributes: (row: Row) => Record<`data-${string}`, unknown> & { className?: string }
}

/** On a phone each row is a card whose cells are lines with their titles. */
const CARDS =
  'max-sm:block max-sm:[&_:is(tbody,tr)]:block max-sm:[&_thead]:sr-only max-sm:[&_tr]:border-b max-sm:[&_tr]:border-line max-sm:[&_tr]:px-3 max-sm:[&_tr]:py-2 max-sm:[&_tr:last-child]:border-b-0 max-sm:[&_td]:grid max-sm:[&_td]:grid-cols-[6.5rem_minmax(0,1fr)] max-sm:[&_td]:gap-x-2 max-sm:[&_td]:py-1 max-sm:[&_td]:text-left max-sm:[&_td]:whitespace-normal max-sm:[&_td]:before:text-dim max-sm:[&_td]:before:content-[attr(data-title)]'
const GRID =
  'sm:[&_tr:last-child>td]:border-b-0 sm:[&_:is(th,td)]:border-b sm:[&_:is(th,td)]:border-line sm:[&_:is(th,td)]:py-2 sm:[&_:is(th,td)]:pr-4 sm:[&_:is(th,td):first-child]:pl-3'

/** A table in a panel. It scrolls sideways if needed. The roles stay where a phone shows cards. */
export function Table<Row>({ label, columns, rows, keyOf, attributes }: Props<Row>) {
  return (
    <ScrollRegion label={`${label}, table`} className="panel dims overflow-x-auto">
      {/* biome-ignore-start lint/a11y/noRedundantRoles: browsers drop the roles of a table that is drawn as blocks */}
      <table
        role="table"
        aria-label={label}
        className={`w-full border-collapse text-left sm:min-w-[640px] ${GRID} ${CARDS}`}
      >
        <thead role="rowgroup" className="heading">
          <tr role="row">
            {columns.map(({ title, head = title, number = false }) => (
              <th
                key={title}
                role="columnheader"
                scope="col"
                className={`font-semibold whitespace-nowrap ${number ? 'text-right' : ''}`}
              >
                {head}
              </th>
            ))}
          </tr>
        </thead>
        <tbody role="rowgroup">
          {rows.map((row) => (
            <tr key={keyOf(row)} role="row" {...attributes(row)}>
              {columns.map(({ title, number = false, className = '', cell }) => (
                <td
                  key={title}
                  role="cell"
                  data-title={title}
                  className={`${className.includes('min-w') ? '' : 'sm:first:min-w-32'} ${number ? 'text-right whitespace-nowrap' : ''} ${className}`}
                >
                  {/* One box, which a card's grid sets beside the title. */}
                  <div className="min-w-0">{cell(row)}</div>
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
      {/* biome-ignore-end lint/a11y/noRedundantRoles: see above */}
    </ScrollRegion>
  )
}
