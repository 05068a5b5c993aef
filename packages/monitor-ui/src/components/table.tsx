import type { ReactNode } from 'react'

interface Props {
  label: string
  /** Titles of the columns; those of numbers are set to the right. */
  columns: readonly { title: string; number?: boolean }[]
  children: ReactNode
}

export const CELL = 'border-b border-line py-2 pr-4 first:min-w-32 first:pl-3'

/** A plain table in a panel, which scrolls sideways where it must. */
export function Table({ label, columns, children }: Props) {
  return (
    <div
      role="region"
      aria-label={`${label}, table`}
      // biome-ignore lint/a11y/noNoninteractiveTabindex: a scrolled region must be reachable by keyboard
      tabIndex={0}
      className="panel dims overflow-x-auto"
    >
      <table
        aria-label={label}
        className="w-full min-w-[640px] border-collapse text-left [&_tr:last-child>td]:border-b-0"
      >
        <thead className="heading">
          <tr>
            {columns.map(({ title, number = false }) => (
              <th
                key={title}
                scope="col"
                className={`border-b border-line py-2 pr-4 font-semibold whitespace-nowrap first:pl-3 ${number ? 'text-right' : ''}`}
              >
                {title}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>{children}</tbody>
      </table>
    </div>
  )
}
