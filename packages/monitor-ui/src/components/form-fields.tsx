import { type HTMLInputTypeAttribute, memo, type ReactNode } from 'react'
import { Field } from './field.tsx'
import { PriorityOptions } from './priority-options.tsx'

interface FieldProps<Name extends string> {
  form: Readonly<Record<NoInfer<Name>, string>>
  /** What is wrong, by the names of the form's fields. */
  errors: Readonly<Record<string, string | undefined>>
  set: (field: NoInfer<Name>, value: string) => void
  name: Name
  label: string
  hint?: string
  className: string
}

interface TextProps<Name extends string> extends FieldProps<Name> {
  /** It has the focus when the dialog opens. */
  first?: boolean
  required?: boolean
  /** The id of the names that it offers. */
  list?: string
  placeholder?: string
  inputMode?: 'numeric' | 'url'
  type?: HTMLInputTypeAttribute
  font?: string
}

export function TextField<Name extends string>({ form, errors, set, name, label, hint, ...more }: TextProps<Name>) {
  const { first, required, list, placeholder, inputMode, type, font = '', className } = more
  return (
    <Field name={name} label={label} hint={hint} errors={errors} className={className}>
      {(props) => (
        <input
          {...props}
          required={required}
          list={list}
          placeholder={placeholder}
          inputMode={inputMode}
          type={type}
          step={type === 'datetime-local' ? 1 : undefined}
          data-autofocus={first || undefined}
          autoComplete="off"
          spellCheck={false}
          className={`field w-full ${font}`}
          value={form[name]}
          onChange={(event) => set(name, event.target.value)}
        />
      )}
    </Field>
  )
}

interface JsonProps<Name extends string> extends Omit<FieldProps<Name>, 'className'> {
  rows: number
}

export function JsonField<Name extends string>({ form, errors, set, name, label, hint, rows }: JsonProps<Name>) {
  return (
    <Field name={name} label={label} hint={hint} errors={errors} className="sm:col-span-6">
      {(props) => (
        <textarea
          {...props}
          rows={rows}
          spellCheck={false}
          className="field w-full font-mono text-xs"
          value={form[name]}
          onChange={(event) => set(name, event.target.value)}
        />
      )}
    </Field>
  )
}

interface SelectProps<Name extends string> extends Omit<FieldProps<Name>, 'set' | 'hint'> {
  set: (field: NoInfer<Name>, value: never) => void
  /** Its options, whose values are all that the field can hold. */
  children: ReactNode
}

export function SelectField<Name extends string>(more: SelectProps<Name>) {
  const { form, errors, set, name, label, className, children } = more
  return (
    <Field name={name} label={label} errors={errors} className={className}>
      {(props) => (
        <select
          {...props}
          className="field w-full"
          value={form[name]}
          onChange={(event) => set(name, event.target.value as never)}
        >
          {children}
        </select>
      )}
    </Field>
  )
}

interface PriorityProps extends Omit<SelectProps<'priority'>, 'name' | 'label' | 'children'> {
  /** What it means to choose none, where that can be. */
  usual?: string
}

export function PriorityField({ usual, ...field }: PriorityProps) {
  return (
    <SelectField {...field} name="priority" label="Priority">
      {usual !== undefined && <option value="">{usual}</option>}
      <PriorityOptions />
    </SelectField>
  )
}

interface LazyProps {
  form: { readonly lazy: boolean }
  set: (field: 'lazy', value: boolean) => void
  children: ReactNode
}

export function LazyField({ form, set, children }: LazyProps) {
  return (
    <label className="flex items-center gap-2 sm:col-span-6">
      <input type="checkbox" name="lazy" checked={form.lazy} onChange={(event) => set('lazy', event.target.checked)} />
      {children}
    </label>
  )
}

/** Names that a field offers. There are hundreds of time zones: not drawn anew with every key. */
export const Names = memo(({ id, names }: { id: string; names: readonly string[] }) => (
  <datalist id={id}>
    {names.map((name) => (
      <option key={name} value={name} />
    ))}
  </datalist>
))
