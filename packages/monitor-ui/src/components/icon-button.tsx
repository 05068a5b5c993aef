import type { LucideIcon } from 'lucide-react'

interface Props {
  icon: LucideIcon
  /** Its action and object, for screen readers. */
  label: string
  title: string
  /** It removes something. */
  danger?: boolean
  /** It is on or off. */
  pressed?: boolean
  disabled?: boolean
  className?: string
  onClick: () => void
}

/** A button in a row, with an icon only. */
export function IconButton({
  icon: Icon,
  label,
  title,
  danger = false,
  pressed,
  disabled,
  className = '',
  onClick,
}: Props) {
  return (
    <button
      type="button"
      className={`inline-flex size-8 items-center justify-center rounded-md hover:bg-raised disabled:opacity-40 ${pressed === true ? 'text-run' : 'text-dim'} ${danger ? 'hover:text-bad' : 'hover:text-text'} ${className}`}
      aria-label={label}
      title={title}
      aria-pressed={pressed}
      disabled={disabled}
      onClick={onClick}
    >
      <Icon size={15} aria-hidden />
    </button>
  )
}
