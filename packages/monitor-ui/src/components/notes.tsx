import type { WireError } from '@taskfleet/core/protocol'
import type { ReactNode } from 'react'
import { visibleText } from '../view/text.ts'

export function EmptyNote({ title, children }: { title: string; children?: ReactNode }) {
  return (
    <div className="panel col-span-full px-6 py-12 text-center text-dim">
      <p className="text-sm font-medium text-text">{title}</p>
      {children !== undefined && <p className="mt-1">{children}</p>}
    </div>
  )
}

/** What the gateway said against a query, once. */
export function RowsProblem({ views }: { views: { error: WireError | undefined }[] }) {
  const error = views.find((view) => view.error !== undefined)?.error
  if (error === undefined) return null
  return (
    <p role="alert" className="rounded-md bg-bad/12 px-3 py-2 text-bad">
      {visibleText(error.message, 400)} <span className="font-mono text-xs">{visibleText(error.code, 60)}</span>
    </p>
  )
}

/** Why the last try did not work, in a dialog. */
export function Problem({ text, className = 'mt-3' }: { text: string | undefined; className?: string }) {
  if (text === undefined) return null
  return (
    <p role="alert" className={`rounded-md bg-bad/12 px-3 py-2 text-bad ${className}`}>
      {visibleText(text, 500)}
    </p>
  )
}
