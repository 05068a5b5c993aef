import { RefreshCw } from 'lucide-react'
import { formatAge } from '../view/format.ts'
import { Button } from './button.tsx'

/** The age of the shown data, and a button that loads it again. */
export function Refresh({ at, now, onRefresh }: { at: number | undefined; now: number; onRefresh: () => void }) {
  return (
    <span className="ml-auto flex items-center gap-3">
      <span className="text-xs text-dim">{at !== undefined && `as of ${formatAge(now - at)} ago`}</span>
      <Button icon={RefreshCw} onClick={onRefresh}>
        Refresh
      </Button>
    </span>
  )
}
