import { type ReactNode, useId } from 'react'
import { visibleText } from '../view/text.ts'

interface Props {
  name: string
  label: string
  hint?: string | undefined
  /** What is wrong, by the names of the form's fields. */
  errors: Readonly<Record<string, string | undefined>>
  className?: string
  children: (props: {
    id: string
    name: string
    'aria-invalid': boolean
    'aria-describedby': string | undefined
  }) => ReactNode
}

/** A labelled field with its error under it. */
export function Field({ name, label, hint, errors, className = '', children }: Props) {
  const id = useId()
  const error = errors[name]
  return (
    <div className={`min-w-0 ${className}`}>
      <div className="mb-1 flex items-baseline gap-2">
        <label htmlFor={id} className="font-medium">
          {label}
        </label>
        {hint !== undefined && <span className="text-xs text-dim">{hint}</span>}
      </div>
      {children({
        id,
        name,
        'aria-invalid': error !== undefined,
        'aria-describedby': error === undefined ? undefined : `${id}-error`,
      })}
      {error !== undefined && (
        <p id={`${id}-error`} role="alert" data-field-error={name} className="mt-1 text-xs text-bad">
          {visibleText(error, 300)}
        </p>
      )}
    </div>
  )
}
