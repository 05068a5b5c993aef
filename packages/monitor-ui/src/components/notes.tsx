import { mayPass } from '@taskfleet/client'
import type { WireError } from '@taskfleet/protocol'
import type { ReactNode } from 'react'
import { visibleText } from '../view/text.ts'
import { Button } from './button.tsx'

export function EmptyNote({ title, children }: { title: string; children?: ReactNode }) {
  return (
    <div className="panel col-span-full px-6 py-12 text-center text-dim">
      <p className="text-sm font-medium text-text">{title}</p>
      {children !== undefined && <p className="mt-1">{children}</p>}
    </div>
  )
}

export interface FailedView {
  error: Pick<WireError, 'code' | 'message'> | undefined
  tryAgain: () => void
}

/** The first error of the views, with a button that loads all failed views again. */
export function RowsProblem({ views }: { views: FailedView[] }) {
  const failed = views.filter(({ error }) => error !== undefined)
  const error = failed[0]?.error
  if (error === undefined) return null
  return (
    <div role="alert" className="flex flex-wrap items-center gap-x-3 gap-y-1 rounded-md bg-bad/12 px-3 py-2 text-bad">
      <p>
        {visibleText(error.message, 400)} <span className="font-mono text-xs">{visibleText(error.code, 60)}</span>
        {mayPass(error) && <span className="text-dim"> The page tries again by itself.</span>}
      </p>
      <Button onClick={() => failed.forEach((view) => view.tryAgain())}>Try again</Button>
    </div>
  )
}

/** The error of a dialog's last try. */
export function Problem({ text, className = 'mt-3' }: { text: string | undefined; className?: string }) {
  if (text === undefined) return null
  return (
    <p role="alert" className={`rounded-md bg-bad/12 px-3 py-2 text-bad ${className}`}>
      {visibleText(text, 500)}
    </p>
  )
}
