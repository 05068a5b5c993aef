import type { ReactNode } from 'react'

interface Props {
  /** How many tracks of the row's grid they take. */
  tracks: number
  className?: string
  children: ReactNode
}

/** The first cells of a row, which stay in view while the list scrolls sideways. */
export function Pinned({ tracks, className = '', children }: Props) {
  if (tracks === 0) return children
  return (
    <div
      role="presentation"
      data-testid="pinned"
      className={`sticky left-0 z-10 -mr-1.5 -ml-3 grid grid-cols-subgrid items-center self-stretch bg-inherit pr-1.5 pl-3 shadow-[inset_-1px_0_var(--color-line)] ${className}`}
      style={{ gridColumn: `span ${tracks}` }}
    >
      {children}
    </div>
  )
}
