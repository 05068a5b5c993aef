import type { LucideIcon } from 'lucide-react'

interface Props {
  icon: LucideIcon
  /** What it does to what, for those who don't see the icon. */
  label: string
  title: string
  /** It takes something away. */
  danger?: boolean
  className?: string
  onClick: () => void
}

/** A button in a row, without words. */
export function IconButton({ icon: Icon, label, title, danger = false, className = '', onClick }: Props) {
  return (
    <button
      type="button"
      className={`inline-flex size-8 items-center justify-center rounded-md text-dim hover:bg-raised ${danger ? 'hover:text-bad' : 'hover:text-text'} ${className}`}
      aria-label={label}
      title={title}
      onClick={onClick}
    >
      <Icon size={15} aria-hidden />
    </button>
  )
}
