import { memo, type ReactNode, useId } from 'react'
import { useFormContext } from 'react-hook-form'
import { visibleText } from '../view/text.ts'
import { type Place, placeOf } from './field-words.ts'
import type { Draft, Field } from './fields.ts'

const SPANS = { 2: 'sm:col-span-2', 3: 'sm:col-span-3', 4: 'sm:col-span-4', 6: 'sm:col-span-6' }
const WIDE = ['json', 'choices', 'flag']

interface Props {
  field: Field
  place: Place | undefined
  /** Whether it may be empty. */
  clearable: boolean
  /** It has the focus when the dialog opens. */
  first: boolean
}

/** A labelled field of a request's form, with its hint and its error. */
export function FormField({ field, place, clearable, first }: Props) {
  const { register, formState } = useFormContext<Draft>()
  const id = useId()
  const { kind, name, path } = field
  const shown = placeOf(path, place)
  const { label, placeholder, names, rows = 5, mono = false, span = WIDE.includes(kind) ? 6 : 3 } = shown
  const error = formState.errors[name]?.message
  const hint = hintOf(field, shown)
  const described = [hint !== undefined && `${id}-hint`, error !== undefined && `${id}-error`].filter(Boolean).join(' ')
  const input = {
    ...register(name),
    'aria-invalid': error !== undefined,
    'aria-describedby': described === '' ? undefined : described,
    'data-autofocus': first || undefined,
  }
  const text = { ...input, id, placeholder, autoComplete: 'off', spellCheck: false }
  const about = (
    <>
      {hint !== undefined && (
        <p id={`${id}-hint`} className="mt-1 text-xs text-dim">
          {hint}
        </p>
      )}
      {error !== undefined && (
        <p id={`${id}-error`} role="alert" data-field-error={path} className="mt-1 text-xs text-bad">
          {visibleText(String(error), 300)}
        </p>
      )}
    </>
  )
  return (
    <>
      {shown.before}
      {kind === 'flag' ? (
        <div className={SPANS[span]}>
          <label className="flex items-center gap-2 font-medium">
            <input {...input} type="checkbox" />
            {label}
          </label>
          {about}
        </div>
      ) : kind === 'choices' ? (
        <fieldset className={SPANS[span]} aria-describedby={input['aria-describedby']}>
          <legend className="mb-1 font-medium">{label}</legend>
          <div className="grid grid-cols-1 gap-x-4 gap-y-1.5 sm:grid-cols-2">
            {field.options.map((option) => (
              <label key={option} className="flex items-baseline gap-2">
                <input {...input} type="checkbox" value={option} className="translate-y-0.5" />
                <span>
                  {option} <span className="text-xs text-dim">{shown.words?.[option]}</span>
                </span>
              </label>
            ))}
          </div>
          {about}
        </fieldset>
      ) : (
        <div className={`min-w-0 ${SPANS[span]}`}>
          <label htmlFor={id} className="mb-1 block font-medium">
            {label}
          </label>
          {kind === 'json' ? (
            <textarea {...text} rows={rows} className="field w-full font-mono text-xs" />
          ) : kind === 'choice' ? (
            <select
              {...input}
              id={id}
              defaultValue={String(formState.defaultValues?.[name] ?? '')}
              className="field w-full"
            >
              {clearable && <option value="">{placeholder ?? 'Default'}</option>}
              {field.options.map((option) => (
                <option key={option} value={option}>
                  {{ true: 'Yes', false: 'No', ...shown.words }[option] ?? option}
                </option>
              ))}
            </select>
          ) : (
            <input
              {...text}
              type={kind === 'date' ? 'datetime-local' : undefined}
              step={kind === 'date' ? 1 : undefined}
              inputMode={kind === 'number' ? 'decimal' : undefined}
              list={names === undefined ? undefined : `${id}-names`}
              className={`field w-full ${mono ? 'font-mono text-xs' : ''}`}
            />
          )}
          {names !== undefined && <Names id={`${id}-names`} names={names} />}
          {about}
        </div>
      )}
      {shown.after}
    </>
  )
}

function hintOf({ kind, description }: Field, { hint = description }: Place): ReactNode | undefined {
  const zone = kind === 'date' ? 'Your local time' : ''
  const said = [hint?.replaceAll('`', ''), zone].filter((part) => part !== undefined && part !== '')
  return said.length === 0 ? undefined : said.join('. ')
}

/** There are hundreds of time zones, so they are not rendered again with every key. */
const Names = memo(({ id, names }: { id: string; names: readonly string[] }) => (
  <datalist id={id}>
    {names.map((name) => (
      <option key={name} value={name} />
    ))}
  </datalist>
))
