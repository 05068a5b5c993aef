import { RefreshCw } from 'lucide-react'
import { formatAge } from '../view/format.ts'

/** When a page was asked for, and a way to ask again. */
export function Refresh({ at, now, onRefresh }: { at: number | undefined; now: number; onRefresh: () => void }) {
  return (
    <span className="ml-auto flex items-center gap-3">
      <span className="text-xs text-dim">{at !== undefined && `as of ${formatAge(now - at)} ago`}</span>
      <button type="button" className="button" onClick={onRefresh}>
        <RefreshCw size={14} aria-hidden /> Refresh
      </button>
    </span>
  )
}
