import { useHeldRows } from '@taskfleet/react'
import { type Key, type ReactNode, useState } from 'react'
import { EmptyNote, type FailedView, RowsProblem } from './notes.tsx'
import { RowsPill } from './rows-pill.tsx'

/** What an empty list shows. */
export interface Empty {
  title: string
  hint?: string
  /** A command that fills the list. */
  code?: string
}

interface ListingProps {
  views: FailedView[]
  loaded: boolean
  count: number
  empty: Empty
  children: ReactNode
}

/** A list with its errors, or the reason why it is empty. */
export function Listing({ views, loaded, count, empty, children }: ListingProps) {
  const failed = views.some(({ error }) => error !== undefined)
  return (
    <>
      <RowsProblem views={views} />
      {count > 0 && children}
      {count === 0 && loaded && (
        <EmptyNote title={empty.title}>
          {empty.hint}
          {empty.code !== undefined && <code className="mt-2 block font-mono text-xs text-text">{empty.code}</code>}
        </EmptyNote>
      )}
      {count === 0 && !loaded && !failed && <EmptyNote title="Loading…" />}
    </>
  )
}

interface HeldListProps<Row> {
  label: string
  role: 'group' | 'tabpanel'
  /** Names the query. The rows of another query are shown at once. */
  query: string
  view: FailedView & { rows: readonly Row[]; loaded: boolean }
  empty: Empty
  children: (row: Row, gone: boolean, key: Key) => ReactNode
}

/** A live list. Its rows keep their places while the user points or types there. */
export function HeldList<Row extends { _id: string }>(props: HeldListProps<Row>) {
  const { label, role, query, view, empty, children } = props
  const [pointed, setPointed] = useState(false)
  const [typing, setTyping] = useState(false)
  const { rows, entered, moved, apply } = useHeldRows(query, view.rows, pointed || typing)
  return (
    // biome-ignore lint/a11y/useAriaPropsSupportedByRole: both roles take a name
    // biome-ignore lint/a11y/noStaticElementInteractions: it only notices when the user points or types there
    <div
      role={role}
      aria-label={label}
      className="relative flex flex-col gap-3"
      onPointerEnter={(event) => event.pointerType !== 'touch' && setPointed(true)}
      onPointerLeave={() => {
        setPointed(false)
        setTyping(false)
      }}
      onKeyDown={() => setTyping(true)}
      onBlur={() => setTyping(false)}
    >
      <RowsPill entered={entered} moved={moved} onApply={apply} className="top-2" />
      <Listing views={[view]} loaded={view.loaded} count={rows.length} empty={empty}>
        <ul aria-label={label} className="flex flex-col gap-2">
          {rows.map(({ row, gone }) => children(row, gone, row._id))}
        </ul>
      </Listing>
    </div>
  )
}
