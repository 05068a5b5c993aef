import { ArrowUp } from 'lucide-react'

interface Props {
  /** How many new rows wait. */
  entered: number
  /** Whether rows have left or changed places. */
  moved: boolean
  className: string
  onApply: () => void
}

/** Shows that a list held under the mouse is out of date, and updates it. */
export function RowsPill({ entered, moved, className, onApply }: Props) {
  if (entered === 0 && !moved) return null
  return (
    <button
      type="button"
      data-testid="new-rows"
      className={`button-solid absolute left-1/2 z-20 inline-flex -translate-x-1/2 items-center gap-1.5 rounded-full px-3.5 py-1.5 text-xs font-semibold shadow-lg ${className}`}
      onClick={onApply}
    >
      <ArrowUp size={13} aria-hidden />
      {entered > 0 ? `${entered} new` : 'Order changed'}
    </button>
  )
}
