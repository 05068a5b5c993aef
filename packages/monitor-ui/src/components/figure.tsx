import type { ReactNode } from 'react'

interface Props {
  label: string
  value: ReactNode
  /** Beside the value, in small. */
  of?: ReactNode
  tone?: string
}

/** A figure with its name, within `Figures`. */
export function Figure({ label, value, of, tone = '' }: Props) {
  return (
    <div className="-mt-px -ml-px border-t border-l border-line px-4 py-2.5" data-testid="figure" data-figure={label}>
      <dt className="heading">{label}</dt>
      <dd className="flex flex-wrap items-baseline gap-x-2">
        <span className={`text-xl font-semibold whitespace-nowrap ${tone}`}>{value}</span>
        {of !== undefined && <span className="min-w-0 text-xs text-dim">{of}</span>}
      </dd>
    </div>
  )
}

/** The figures of a page in a row, or in two columns on phones. */
export function Figures({ label, children }: { label: string; children: ReactNode }) {
  return (
    <dl className="panel dims grid grid-cols-2 overflow-hidden sm:grid-cols-3 xl:grid-cols-6" aria-label={label}>
      {children}
    </dl>
  )
}
