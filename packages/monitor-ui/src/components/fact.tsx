import type { ReactNode } from 'react'

/** A line of a `<dl>`: its label and its value. */
export function Fact({ label, children }: { label: string; children: ReactNode }) {
  return (
    <div className="flex min-w-0 gap-2">
      <dt className="w-20 shrink-0 text-dim">{label}</dt>
      <dd className="min-w-0">{children}</dd>
    </div>
  )
}
