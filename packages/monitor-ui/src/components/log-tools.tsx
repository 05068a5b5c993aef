import { ChevronDown, ChevronUp, type LucideIcon } from 'lucide-react'
import type { KeyboardEvent } from 'react'
import { countOf, formatCount } from '../view/counts.ts'

interface SearchFieldProps {
  typed: string
  onType: (typed: string) => void
  /** How many lines are found; undefined without a search. */
  count: number | undefined
  /** Which of them is chosen; -1 for none. */
  place: number
  onNext: () => void
  onPrevious: () => void
}

/** Searches the log: Enter goes to the next line that is found, Shift and Enter to the one before. */
export function SearchField({ typed, onType, count, place, onNext, onPrevious }: SearchFieldProps) {
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.key === 'Enter') {
      event.preventDefault()
      if (count !== undefined && count > 0) (event.shiftKey ? onPrevious : onNext)()
    }
    if (event.key === 'Escape' && typed !== '') {
      event.preventDefault()
      event.stopPropagation()
      onType('')
    }
  }
  return (
    <span className="flex min-w-0 items-center gap-1 max-sm:order-last max-sm:w-full">
      <input
        type="search"
        className="field min-h-7 w-44 min-w-0 py-0.5 max-sm:flex-1"
        placeholder="Search in the log"
        aria-label="Search in the log"
        value={typed}
        onChange={(event) => onType(event.target.value)}
        onKeyDown={onKeyDown}
      />
      {count !== undefined && (
        <>
          <span role="status" className="px-1 whitespace-nowrap">
            {place === -1 ? countOf(count, 'line') : `${formatCount(place + 1)} of ${formatCount(count)}`}
          </span>
          <Tool icon={ChevronUp} label="Previous line that is found" disabled={count === 0} onClick={onPrevious} />
          <Tool icon={ChevronDown} label="Next line that is found" disabled={count === 0} onClick={onNext} />
        </>
      )}
    </span>
  )
}

interface ToolProps {
  icon: LucideIcon
  label: string
  disabled?: boolean
  onClick: () => void
}

export function Tool({ icon: Icon, label, disabled = false, onClick }: ToolProps) {
  return (
    <button
      type="button"
      className="inline-flex size-7 items-center justify-center rounded-md text-dim hover:bg-raised hover:text-text disabled:opacity-40"
      aria-label={label}
      title={label}
      disabled={disabled}
      onClick={onClick}
    >
      <Icon size={14} aria-hidden />
    </button>
  )
}

interface ChoiceProps {
  label: string
  title?: string
  on: boolean
  onChange: (on: boolean) => void
}

export function Choice({ label, title, on, onChange }: ChoiceProps) {
  return (
    <label className="flex items-center gap-1.5" title={title}>
      <input
        type="checkbox"
        className="accent-solid"
        checked={on}
        onChange={(event) => onChange(event.target.checked)}
      />
      {label}
    </label>
  )
}
