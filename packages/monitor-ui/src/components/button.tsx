import type { LucideIcon } from 'lucide-react'
import type { ComponentProps } from 'react'

interface Props extends ComponentProps<'button'> {
  icon?: LucideIcon
  look?: 'solid' | 'bad'
}

const LOOKS = { solid: 'button-solid', bad: 'button-bad' }

export function Button({ icon: Icon, look, className = '', children, ...props }: Props) {
  return (
    <button type="button" className={`button ${look === undefined ? '' : LOOKS[look]} ${className}`} {...props}>
      {Icon !== undefined && <Icon size={14} aria-hidden />}
      {children}
    </button>
  )
}

/** A button that reads as a link. */
export function LinkButton({ className = '', ...props }: ComponentProps<'button'>) {
  return <button type="button" className={`rounded font-medium text-run hover:underline ${className}`} {...props} />
}
