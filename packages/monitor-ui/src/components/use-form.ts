import { type RefObject, useRef, useState } from 'react'
import { wireError } from '../live/wire-error.ts'
import type { Errors } from '../view/checks.ts'
import { formField } from '../view/event-form.ts'

export interface FormState<Form> {
  form: Form
  errors: Errors<Form>
  set: <F extends keyof Form>(field: F, value: Form[F]) => void
}

/** What the frame of a form needs to know. */
export interface Sending {
  /** What the server said that is no field's. */
  problem: string | undefined
  busy: boolean
  element: RefObject<HTMLFormElement | null>
  submit: () => void
}

interface Submitted<Form extends object> extends FormState<Form>, Sending {
  /** Begins again from another form. */
  reset: (form: Form) => void
}

/**
 * A form that is checked, then sent; what is wrong is shown at its field, which gets the focus.
 *
 * @param send rejects with what the server has against it
 * @param fieldOf the field that a server's `field` path means
 */
export function useForm<Form extends object>(
  initial: Form,
  check: (form: Form) => Errors<Form>,
  send: (form: Form) => Promise<void>,
  fieldOf: (path: string | undefined, form: Form) => keyof Form | undefined = formField,
): Submitted<Form> {
  const [form, setForm] = useState(initial)
  const [errors, setErrors] = useState<Errors<Form>>({})
  const [problem, setProblem] = useState<string>()
  const [busy, setBusy] = useState(false)
  const element = useRef<HTMLFormElement>(null)
  const show = (found: Errors<Form>) => {
    setErrors(found)
    const [first] = Object.keys(found)
    if (first !== undefined) element.current?.querySelector<HTMLElement>(`[name="${first}"]`)?.focus()
  }
  const submit = async () => {
    setProblem(undefined)
    const found = check(form)
    if (Object.keys(found).length > 0) return show(found)
    setBusy(true)
    try {
      await send(form)
    } catch (thrown) {
      const { field, message } = wireError(thrown)
      const mine = fieldOf(field, form)
      if (mine === undefined) setProblem(message)
      else show({ [mine]: message } as Errors<Form>)
    } finally {
      setBusy(false)
    }
  }
  return {
    form,
    errors,
    problem,
    busy,
    element,
    set: (field, value) => {
      setForm((before) => ({ ...before, [field]: value }))
      setErrors((before) => ({ ...before, [field]: undefined }))
    },
    reset: (next) => {
      setForm(next)
      setErrors({})
      setProblem(undefined)
    },
    submit: () => void submit(),
  }
}
