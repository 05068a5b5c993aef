import { createContext, type ReactNode, useContext, useMemo, useRef } from 'react'
import { FormProvider, type UseFormReturn, useForm, useWatch } from 'react-hook-form'
import type { z } from 'zod'
import { Button } from '../components/button.tsx'
import { Dialog } from '../components/dialog.tsx'
import { Problem } from '../components/notes.tsx'
import { wireError } from '../live/wire-error.ts'
import { useUi } from '../shell/ui-context.ts'
import type { ToastText } from '../shell/ui-store.ts'
import type { Place } from './field-words.ts'
import { type Draft, draftOf, type Field, fieldAt, fieldsIn, groupOf, type Reading, readDraft } from './fields.ts'
import { FormField } from './form-field.tsx'

/** The schema of a form, and the call that sends it. */
export interface Request {
  schema: z.ZodType
  send: Send<object>
}
/** Resolves with the text of a toast, or with `stay` to keep the form open. The form shows an error. */
type Send<Value> = (value: Value) => Promise<ToastText | 'stay'>

export const request = <Value extends object>(schema: z.ZodType<Value>, send: Send<Value>): Request => ({
  schema,
  send: send as Send<object>,
})

/** The schema of a field of an operation's request, such as `changes`. */
export function partOf<Whole, Name extends keyof Whole & string>(
  { request }: { request: z.ZodType<Whole> },
  name: Name,
): z.ZodType<NonNullable<Whole[Name]>> {
  return (request as unknown as z.ZodObject<Record<Name, z.ZodType<NonNullable<Whole[Name]>>>>).shape[name]
}

interface Props {
  title: string
  /** The text of the button that sends it. */
  action: string
  request: Request
  /** The values that it starts with. */
  value?: object
  /** `value` is stored. Only its changes are sent, and nothing when there are none. */
  edits?: boolean
  /** Sends the form even without a change. */
  always?: boolean
  /** Values that are sent and not shown. */
  known?: Readonly<Record<string, unknown>>
  /** The fields in their order. Other fields are under "More settings", unless `hide` names them. */
  places: Readonly<Record<string, Place>>
  hide?: readonly string[]
  /** The form cannot be sent now. */
  blocked?: boolean
  danger?: boolean
  keep?: string
  onClose: () => void
  /** Above the fields. */
  children?: ReactNode
  /** Below the fields. */
  note?: ReactNode
}

interface Opened {
  form: UseFormReturn<Draft>
  fields: readonly Field[]
  read: (draft: Draft) => Reading
}
const Context = createContext<Opened | undefined>(undefined)

/** The form around this component. */
export function useRequestForm(): Opened {
  const opened = useContext(Context)
  if (opened === undefined) throw new Error('This is not in a form')
  return opened
}

/** The request that the typed values make. */
export function useReading(): Reading & { draft: Draft } {
  const { form, read } = useRequestForm()
  const draft = useWatch({ control: form.control }) as Draft
  return { ...read(draft), draft }
}

/** A dialog with the fields of an operation's request. Its schema checks them. An error is shown at the field that it names. */
export function RequestForm(props: Props) {
  const { title, action, request, value = {}, edits = false, always = false, known, places, hide } = props
  const { blocked = false, danger = false, keep = 'Close', onClose, children, note } = props
  const toast = useUi((ui) => ui.toast)
  const element = useRef<HTMLFormElement>(null)
  const left = [...(hide ?? []), ...Object.keys(known ?? {})].join()
  const root = useMemo(() => groupOf(request.schema, left.split(',')), [request.schema, left])
  const fields = fieldsIn(root)
  const initial = useMemo(() => draftOf(fieldsIn(root), value), [root, value])
  const read = (draft: Draft): Reading =>
    readDraft({ schema: request.schema, root, draft, known, before: edits ? { value, draft: initial } : undefined })

  const form: UseFormReturn<Draft, unknown, Record<string, unknown>> = useForm<Draft, unknown, Record<string, unknown>>(
    {
      defaultValues: initial,
      shouldFocusError: false,
      resolver: (draft) => {
        const { value, errors, problem } = read(draft)
        const wrong = Object.entries({ ...errors, ...(problem !== undefined && { root: problem }) })
        if (wrong.length === 0) return { values: value, errors: {} }
        return {
          values: {},
          errors: Object.fromEntries(wrong.map(([name, message]) => [name, { type: 'value', message }])),
        }
      },
    },
  )
  const { isSubmitting, isDirty, errors } = form.formState
  const focus = (wrong: (field: Field) => boolean) => {
    const first = [...main, ...more].find(wrong)
    const input = first && element.current?.querySelector<HTMLElement>(`[name="${first.name}"]`)
    input?.closest('details')?.setAttribute('open', '')
    input?.focus()
  }
  const submit = form.handleSubmit(
    async (value) => {
      if (edits && !always && Object.keys(value).every((name) => known !== undefined && name in known)) return onClose()
      try {
        const result = await request.send(value)
        if (result === 'stay') return
        toast(result)
        onClose()
      } catch (thrown) {
        const { field: path, message } = wireError(thrown)
        const field = fieldAt(fields, path)
        form.setError(field?.name ?? 'root', { message })
        focus((one) => one === field)
      }
    },
    (wrong) => focus(({ name }) => name in wrong),
  )

  const main = Object.keys(places).flatMap((path) => fields.find((field) => field.path === path) ?? [])
  const more = fields.filter((field) => !main.includes(field))
  const draw = (field: Field) => (
    <FormField
      key={field.name}
      field={field}
      place={places[field.path]}
      clearable={!edits || field.clears || initial[field.name] === ''}
      first={field === main[0]}
    />
  )
  return (
    <Dialog title={title} onClose={onClose}>
      <FormProvider {...form}>
        <Context value={{ form: form as unknown as UseFormReturn<Draft>, fields, read }}>
          <form
            ref={element}
            noValidate
            className="grid grid-cols-1 items-start gap-3 sm:grid-cols-6"
            onSubmit={(event) => {
              event.preventDefault()
              if (!isSubmitting && !blocked) void submit()
            }}
          >
            {children}
            {main.map(draw)}
            {more.length > 0 && (
              <details className="sm:col-span-6">
                <summary className="cursor-pointer font-medium">More settings</summary>
                <div className="mt-3 grid grid-cols-1 items-start gap-3 sm:grid-cols-6">{more.map(draw)}</div>
              </details>
            )}
            {note !== undefined && <div className="text-xs text-dim sm:col-span-6">{note}</div>}
            <Problem text={errors.root?.message} className="sm:col-span-6" />
            <div className="flex flex-wrap justify-end gap-2 pt-1 sm:col-span-6">
              {edits && isDirty && (
                <Button className="mr-auto" onClick={() => form.reset()}>
                  Undo changes
                </Button>
              )}
              <Button onClick={onClose}>{keep}</Button>
              <Button type="submit" look={danger ? 'bad' : 'solid'} disabled={isSubmitting || blocked}>
                {action}
              </Button>
            </div>
          </form>
        </Context>
      </FormProvider>
    </Dialog>
  )
}
