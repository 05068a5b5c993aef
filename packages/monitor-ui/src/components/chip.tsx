import type { ComponentProps } from 'react'
import type { Look } from '../view/status.ts'

interface Props extends ComponentProps<'button'> {
  look: Look
  on: boolean
}

/** A filter that can be switched on and off. */
export function Chip({ look: { icon: Icon, label, tone }, on, children, ...props }: Props) {
  return (
    <button
      type="button"
      aria-pressed={on}
      className={`inline-flex min-h-7 shrink-0 items-center gap-1.5 rounded-full border px-2.5 text-xs font-medium ${on ? `border-current bg-raised ${tone}` : 'border-line text-dim hover:bg-raised'}`}
      {...props}
    >
      <Icon size={13} aria-hidden />
      {label}
      {children}
    </button>
  )
}
