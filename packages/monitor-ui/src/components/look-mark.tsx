import type { Look } from '../view/status.ts'

interface Props {
  look: Look
  /** Shows the icon alone. */
  iconOnly?: boolean
  className?: string
}

/** A state by icon, colour and word, so that it does not depend on one of them. */
export function LookMark({ look: { icon: Icon, label, tone }, iconOnly = false, className = '' }: Props) {
  return (
    <span className={`inline-flex items-center gap-1.5 font-medium ${tone} ${className}`}>
      <Icon size={14} strokeWidth={2.2} aria-hidden className="shrink-0" />
      <span className={iconOnly ? 'sr-only' : undefined}>{label}</span>
    </span>
  )
}
