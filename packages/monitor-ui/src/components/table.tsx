import type { ReactNode } from 'react'
import { ScrollRegion } from './scroll-region.tsx'

export interface Column<Row> {
  title: string
  /** The heading, if it is not the title. */
  head?: ReactNode
  /** Numbers are set to the right. */
  number?: boolean
  /** On a phone it has a line of its own, as all that are no numbers. */
  alone?: boolean
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
  /** Up to which width rows are cards; `phone` by default. */
  cards?: keyof typeof LAYOUTS
}

/** Each row is a card where the table has no room. Its cells are lines with their titles, two numbers in a line. */
const LAYOUTS = {
  /** On a phone. */
  phone: {
    table: 'sm:min-w-[640px]',
    cards:
      'max-sm:block max-sm:[&_tbody]:block max-sm:[&_thead]:sr-only max-sm:[&_tbody_tr]:grid max-sm:[&_tbody_tr]:grid-cols-2 max-sm:[&_tbody_tr]:gap-x-4 max-sm:[&_tr]:border-b max-sm:[&_tr]:border-line max-sm:[&_tr]:px-3 max-sm:[&_tr]:py-2 max-sm:[&_tr:last-child]:border-b-0',
    cell: 'max-sm:grid max-sm:items-start max-sm:gap-x-2 max-sm:py-0.5 max-sm:before:text-left max-sm:before:text-dim max-sm:before:content-[attr(data-title)]',
    line: 'max-sm:text-left max-sm:col-span-2 max-sm:grid-cols-[5.5rem_minmax(0,1fr)]',
    number: 'max-sm:grid-cols-[minmax(0,1fr)_auto]',
    grid: 'sm:[&_tr:last-child>td]:border-b-0 sm:[&_:is(th,td)]:border-b sm:[&_:is(th,td)]:border-line sm:[&_:is(th,td)]:py-(--cell) sm:[&_:is(th,td)]:pr-4 sm:[&_:is(th,td):first-child]:pl-3',
    first: 'sm:first:min-w-32',
  },
  /** For a table of many columns: also on a tablet, with four numbers in a line. */
  tablet: {
    table: '',
    cards:
      'max-[1100px]:block max-[1100px]:[&_tbody]:block max-[1100px]:[&_thead]:sr-only max-[1100px]:[&_tbody_tr]:grid max-[1100px]:[&_tbody_tr]:grid-cols-2 sm:max-[1100px]:[&_tbody_tr]:grid-cols-4 max-[1100px]:[&_tbody_tr]:gap-x-4 max-[1100px]:[&_tr]:border-b max-[1100px]:[&_tr]:border-line max-[1100px]:[&_tr]:px-3 max-[1100px]:[&_tr]:py-2 max-[1100px]:[&_tr:last-child]:border-b-0',
    cell: 'max-[1100px]:grid max-[1100px]:items-start max-[1100px]:gap-x-2 max-[1100px]:py-0.5 max-[1100px]:before:text-left max-[1100px]:before:text-dim max-[1100px]:before:content-[attr(data-title)]',
    line: 'max-[1100px]:text-left max-[1100px]:col-span-2 max-[1100px]:grid-cols-[5.5rem_minmax(0,1fr)]',
    number: 'max-[1100px]:grid-cols-[minmax(0,1fr)_auto]',
    grid: 'min-[1100px]:[&_tr:last-child>td]:border-b-0 min-[1100px]:[&_:is(th,td)]:border-b min-[1100px]:[&_:is(th,td)]:border-line min-[1100px]:[&_:is(th,td)]:py-(--cell) min-[1100px]:[&_:is(th,td)]:pr-4 min-[1100px]:[&_:is(th,td):first-child]:pl-3',
    first: 'min-[1100px]:first:min-w-32',
  },
} as const

/** A table in a panel. It scrolls sideways if needed. The roles stay where rows are cards. */
export function Table<Row>({ label, columns, rows, keyOf, attributes, cards = 'phone' }: Props<Row>) {
  const layout = LAYOUTS[cards]
  return (
    <ScrollRegion label={`${label}, table`} className="panel dims overflow-x-auto">
      {/* biome-ignore-start lint/a11y/noRedundantRoles: browsers drop the roles of a table that is drawn as blocks */}
      <table
        role="table"
        aria-label={label}
        className={`w-full border-collapse text-left ${layout.table} ${layout.grid} ${layout.cards}`}
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
              {columns.map(({ title, number = false, alone = !number, className = '', cell }) => (
                <td
                  key={title}
                  role="cell"
                  data-title={title}
                  className={`${className.includes('min-w') ? '' : layout.first} ${layout.cell} ${number ? 'text-right whitespace-nowrap' : ''} ${alone ? layout.line : layout.number} ${className}`}
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
