import type { ReactNode } from 'react'

/** A part of the page that scrolls, also by keyboard. */
export function ScrollRegion({
  label,
  className,
  children,
}: {
  label: string
  className: string
  children: ReactNode
}) {
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: a scrolled region must be reachable by keyboard
    <div role="region" aria-label={label} tabIndex={0} className={className}>
      {children}
    </div>
  )
}
