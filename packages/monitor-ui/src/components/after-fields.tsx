import { IF_FAILED, type IfFailed } from '@taskfleet/protocol'
import { type AfterForm, afterIdsIn } from '../view/after-form.ts'
import { SelectField, TextField } from './form-fields.tsx'
import type { FormState } from './use-form.ts'

const MEANINGS: Record<IfFailed, string> = {
  fail: 'This one fails',
  cancel: 'This one is cancelled',
  run: 'This one runs all the same',
  wait: 'This one waits for its retry',
}

/** The tasks that another one waits for, and what a failure of theirs does. */
export function AfterFields(state: FormState<AfterForm>) {
  const waits = afterIdsIn(state.form.after).length > 0
  return (
    <>
      <TextField
        {...state}
        name="after"
        label="Runs after"
        hint="ids of tasks, up to 100"
        font="font-mono text-xs"
        className={waits ? 'sm:col-span-4' : 'sm:col-span-6'}
      />
      {waits && (
        <SelectField {...state} name="ifFailed" label="If one fails" className="sm:col-span-2">
          {IF_FAILED.map((does) => (
            <option key={does} value={does}>
              {MEANINGS[does]}
            </option>
          ))}
        </SelectField>
      )}
    </>
  )
}
