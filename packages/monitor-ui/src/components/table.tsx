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

/** A table in a panel. It scrolls sideways if needed. */
export function Table<Row>({ label, columns, rows, keyOf, attributes }: Props<Row>) {
  return (
    <ScrollRegion label={`${label}, table`} className="panel dims overflow-x-auto">
      <table
        aria-label={label}
        className="w-full min-w-[640px] border-collapse text-left [&_tr:last-child>td]:border-b-0 [&_:is(th,td)]:border-b [&_:is(th,td)]:border-line [&_:is(th,td)]:py-2 [&_:is(th,td)]:pr-4 [&_:is(th,td):first-child]:pl-3"
      >
        <thead className="heading">
          <tr>
            {columns.map(({ title, head = title, number = false }) => (
              <th key={title} scope="col" className={`font-semibold whitespace-nowrap ${number ? 'text-right' : ''}`}>
                {head}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map((row) => (
            <tr key={keyOf(row)} {...attributes(row)}>
              {columns.map(({ title, number = false, className = '', cell }) => (
                <td
                  key={title}
                  className={`${className.includes('min-w') ? '' : 'first:min-w-32'} ${number ? 'text-right whitespace-nowrap' : ''} ${className}`}
                >
                  {cell(row)}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </ScrollRegion>
  )
}
