import type { KeyRow, Scope } from '@taskfleet/protocol'
import { useFleetClient } from '@taskfleet/react'
import { useId } from 'react'
import { type KeyForm, keyChanges, keyErrors, keyForm, keyRequest, SCOPES } from '../view/key-form.ts'
import { visibleText } from '../view/text.ts'
import { FormDialog } from './form-dialog.tsx'
import { TextField } from './form-fields.tsx'
import { type FormState, useForm } from './use-form.ts'

export interface MadeKey {
  name: string
  token: string
}

interface Props {
  /** The one to be changed, a new one, or the first of a fleet, which locks it. */
  of: KeyRow | 'new' | 'first'
  onMade: (made: MadeKey) => void
  onChanged: (name: string) => void
  onClose: () => void
}

const TITLES = { new: 'Make a key', first: 'Make the first key' }
const LIST = { hint: 'separated by commas', placeholder: 'all', className: 'sm:col-span-3' }

export function KeyDialog({ of, onMade, onChanged, onClose }: Props) {
  const client = useFleetClient()
  const isNew = typeof of === 'string'
  const state = useForm(
    keyForm(of),
    (form) => keyErrors(form, of, Date.now() + client.clockOffset),
    async (filled) => {
      if (isNew) {
        const wanted = keyRequest(filled)
        const { token } = await client.keys.create(wanted)
        onMade({ name: wanted.name, token })
      } else {
        const changes = keyChanges(filled, of)
        if (Object.keys(changes).length > 0) {
          await client.keys.edit({ id: of.id, changes })
          onChanged(filled.name.trim())
        }
      }
      onClose()
    },
  )
  return (
    <FormDialog
      {...state}
      title={isNew ? TITLES[of] : 'Edit this key'}
      action={isNew ? 'Make the key' : 'Save'}
      onClose={onClose}
    >
      {of === 'first' && (
        <p className="rounded-md bg-warn/15 px-3 py-2 text-warn sm:col-span-6">
          With the first key the fleet is locked: from then on everybody needs one, on this computer too. This page goes
          on with the new key.
        </p>
      )}
      <TextField {...state} name="name" label="Name" hint="who or what uses it" first className="sm:col-span-6" />
      <ScopeField {...state} />
      <TextField {...state} {...LIST} name="queues" label="Queues" />
      <TextField {...state} {...LIST} name="names" label="Tasks named" />
      <TextField
        {...state}
        name="expiresAt"
        label="Expires"
        hint="never when empty"
        type="datetime-local"
        className="sm:col-span-6"
      />
      {!isNew && (
        <p className="text-xs text-dim sm:col-span-6">
          Holds at once. What the key opened under other rights is closed within a second, and may come back.
        </p>
      )}
    </FormDialog>
  )
}

function ScopeField({ form, errors, set }: FormState<KeyForm>) {
  const id = useId()
  const error = errors.scopes
  const toggle = (scope: Scope, on: boolean) =>
    set('scopes', on ? [...form.scopes, scope] : form.scopes.filter((one) => one !== scope))
  return (
    <fieldset className="sm:col-span-6" aria-describedby={error === undefined ? undefined : `${id}-error`}>
      <legend className="mb-1 font-medium">Scopes</legend>
      <div className="grid grid-cols-1 gap-x-4 gap-y-1.5 sm:grid-cols-2">
        {(Object.keys(SCOPES) as Scope[]).map((scope) => (
          <label key={scope} className="flex items-baseline gap-2">
            <input
              type="checkbox"
              name="scopes"
              className="translate-y-0.5"
              checked={form.scopes.includes(scope)}
              onChange={(event) => toggle(scope, event.target.checked)}
            />
            <span>
              {scope} <span className="text-xs text-dim">{SCOPES[scope]}</span>
            </span>
          </label>
        ))}
      </div>
      {error !== undefined && (
        <p id={`${id}-error`} role="alert" data-field-error="scopes" className="mt-1 text-xs text-bad">
          {visibleText(error, 300)}
        </p>
      )}
    </fieldset>
  )
}
