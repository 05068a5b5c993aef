import { Link } from '@tanstack/react-router'
import type { ReactNode } from 'react'
import { formatCount } from '../view/counts.ts'
import type { TaskSearch } from '../view/task-search.ts'

interface PartProps {
  title: string
  count?: number | undefined
  all?: { label: string; search: TaskSearch }
  /** The user starts or stops pointing at it, not by touch. */
  onPoint?: (pointed: boolean) => void
  children: ReactNode
}

/** A part of a page with its heading, and the link to the whole list. */
export function Part({ title, count, all, onPoint, children }: PartProps) {
  return (
    <section
      className="panel dims min-w-0 p-2"
      aria-label={title}
      onPointerEnter={(event) => event.pointerType !== 'touch' && onPoint?.(true)}
      onPointerLeave={() => onPoint?.(false)}
    >
      <div className="mb-1 flex items-baseline justify-between px-2 pt-1">
        <h2 className="heading">
          {title}
          {count !== undefined && count > 0 && <span className="ml-1.5 font-normal">{formatCount(count)}</span>}
        </h2>
        {all !== undefined && (
          <Link to="/tasks" search={all.search} className="text-xs text-run hover:underline">
            {all.label}
          </Link>
        )}
      </div>
      {children}
    </section>
  )
}
