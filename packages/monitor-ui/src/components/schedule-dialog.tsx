import type { ScheduleRow } from '@taskfleet/core/protocol'
import { type HTMLInputTypeAttribute, memo, useId, useMemo } from 'react'
import { useRest } from '../live/rest.ts'
import { useUi } from '../shell/ui-context.ts'
import {
  canPreview,
  type ScheduleForm,
  scheduleErrors,
  scheduleForm,
  scheduleRequest,
  timingOf,
} from '../view/schedule-form.ts'
import { knownZones } from '../view/schedule-words.ts'
import { Dialog } from './dialog.tsx'
import { Field } from './field.tsx'
import { Problem } from './notes.tsx'
import { PriorityOptions } from './priority-options.tsx'
import { SchedulePreview } from './schedule-preview.tsx'
import { type FormState, useForm } from './use-form.ts'

interface Props {
  /** The one to be changed, with its input; a new one without. */
  schedule?: ScheduleRow
  /** Names of tasks that are known, to be offered. */
  tasks: readonly string[]
  onClose: () => void
}

export function ScheduleDialog({ schedule, tasks, onClose }: Props) {
  const rest = useRest()
  const toast = useUi((ui) => ui.toast)
  const taskList = useId()
  const zoneList = useId()
  const zones = useMemo(knownZones, [])
  const initial = useMemo(() => scheduleForm(schedule), [schedule])
  const state = useForm(initial, scheduleErrors, async (filled) => {
    const wanted = scheduleRequest(filled, schedule)
    const name = filled.name.trim()
    if (schedule === undefined) await rest.createSchedule({ _id: name, ...wanted })
    else await rest.editSchedule(schedule._id, { ...wanted, edition: schedule.edition })
    toast({ kind: 'good', text: `${name} ${schedule === undefined ? 'is scheduled' : 'was changed'}` })
    onClose()
  })
  const { form, errors, problem, busy, element, set, submit } = state
  return (
    <Dialog title={schedule === undefined ? 'New schedule' : `Edit ${schedule._id}`} onClose={onClose}>
      <form
        ref={element}
        noValidate
        className="grid grid-cols-1 gap-3 sm:grid-cols-6"
        onSubmit={(event) => {
          event.preventDefault()
          submit()
        }}
      >
        {schedule === undefined && <TextField {...state} name="name" label="Name" first className="sm:col-span-6" />}
        <TextField {...state} name="task" label="Run this task" list={taskList} className="sm:col-span-4" />
        <TextField {...state} name="version" label="Version" inputMode="numeric" className="sm:col-span-2" />
        <Names id={taskList} names={tasks} />
        <fieldset className="sm:col-span-6">
          <legend className="heading pb-1">When</legend>
          <div className="flex gap-4">
            {(['cron', 'every'] as const).map((by) => (
              <label key={by} className="flex items-center gap-2">
                <input type="radio" name="by" checked={form.by === by} onChange={() => set('by', by)} />
                {by === 'cron' ? 'By a cron' : 'By a period'}
              </label>
            ))}
          </div>
        </fieldset>
        {form.by === 'cron' ? (
          <TextField
            {...state}
            name="cron"
            label="Cron"
            hint="minute hour day month weekday"
            mono
            className="sm:col-span-3"
          />
        ) : (
          <TextField {...state} name="every" label="Every" placeholder="15m" className="sm:col-span-3" />
        )}
        <TextField {...state} name="timeZone" label="Time zone" list={zoneList} className="sm:col-span-3" />
        <Names id={zoneList} names={zones} />
        <TextField
          {...state}
          name="startsAt"
          label="Not before"
          hint="your time"
          type="datetime-local"
          className="sm:col-span-3"
        />
        <TextField
          {...state}
          name="endsAt"
          label="Not after"
          hint="your time"
          type="datetime-local"
          className="sm:col-span-3"
        />
        <div className="sm:col-span-6">
          <SchedulePreview timing={canPreview(form) ? timingOf(form, schedule) : undefined} />
        </div>
        <Field name="missed" label="Missed slots" errors={errors} className="sm:col-span-3">
          {(props) => (
            <select
              {...props}
              className="field w-full"
              value={form.missed}
              onChange={(event) => set('missed', event.target.value as ScheduleForm['missed'])}
            >
              <option value="latest">Run the last one</option>
              <option value="skip">Leave them out</option>
              <option value="all">Run each, 100 at most</option>
            </select>
          )}
        </Field>
        <Field name="overlap" label="While the last one runs" errors={errors} className="sm:col-span-3">
          {(props) => (
            <select
              {...props}
              className="field w-full"
              value={form.overlap}
              onChange={(event) => set('overlap', event.target.value as ScheduleForm['overlap'])}
            >
              <option value="allow">Run all the same</option>
              <option value="skip">Leave the slot out</option>
            </select>
          )}
        </Field>
        <h3 className="heading pt-1 sm:col-span-6">Its tasks</h3>
        <Field name="input" label="Input (JSON)" errors={errors} className="sm:col-span-6">
          {(props) => (
            <textarea
              {...props}
              rows={3}
              spellCheck={false}
              className="field w-full font-mono text-xs"
              value={form.input}
              onChange={(event) => set('input', event.target.value)}
            />
          )}
        </Field>
        <TextField {...state} name="queue" label="Queue" placeholder="default" className="sm:col-span-3" />
        <Field name="priority" label="Priority" errors={errors} className="sm:col-span-3">
          {(props) => (
            <select
              {...props}
              className="field w-full"
              value={form.priority}
              onChange={(event) => set('priority', event.target.value)}
            >
              <option value="">As usual</option>
              <PriorityOptions />
            </select>
          )}
        </Field>
        <TextField
          {...state}
          name="maxAttempts"
          label="Attempts"
          placeholder="as usual"
          inputMode="numeric"
          className="sm:col-span-3"
        />
        <TextField
          {...state}
          name="deadlineAfter"
          label="Deadline"
          hint="after its slot"
          placeholder="none"
          className="sm:col-span-3"
        />
        <label className="flex items-center gap-2 sm:col-span-6">
          <input
            type="checkbox"
            name="lazy"
            checked={form.lazy}
            onChange={(event) => set('lazy', event.target.checked)}
          />
          Lazy: runs only while the machine is not overloaded
        </label>
        {schedule !== undefined && (
          <p className="text-xs text-dim sm:col-span-6">What is queued already stays as it is.</p>
        )}
        <Problem text={problem} className="sm:col-span-6" />
        <div className="flex justify-end gap-2 pt-1 sm:col-span-6">
          <button type="button" className="button" onClick={onClose}>
            Close
          </button>
          <button type="submit" className="button button-solid" disabled={busy}>
            {schedule === undefined ? 'Schedule' : 'Save'}
          </button>
        </div>
      </form>
    </Dialog>
  )
}

/** There are hundreds of time zones: not drawn anew with every key. */
const Names = memo(({ id, names }: { id: string; names: readonly string[] }) => (
  <datalist id={id}>
    {names.map((name) => (
      <option key={name} value={name} />
    ))}
  </datalist>
))

interface TextFieldProps extends FormState<ScheduleForm> {
  name: Exclude<keyof ScheduleForm, 'lazy' | 'by' | 'missed' | 'overlap'>
  label: string
  hint?: string
  list?: string
  first?: boolean
  mono?: boolean
  placeholder?: string
  inputMode?: 'numeric'
  type?: HTMLInputTypeAttribute
  className: string
}

function TextField({ form, errors, set, name, label, hint, first, mono, className, ...input }: TextFieldProps) {
  const { list, placeholder, inputMode, type } = input
  return (
    <Field name={name} label={label} errors={errors} className={className} {...(hint === undefined ? {} : { hint })}>
      {(props) => (
        <input
          {...props}
          list={list}
          placeholder={placeholder}
          inputMode={inputMode}
          type={type}
          step={type === 'datetime-local' ? 1 : undefined}
          data-autofocus={first || undefined}
          autoComplete="off"
          spellCheck={false}
          className={`field w-full ${mono === true ? 'font-mono' : ''}`}
          value={form[name]}
          onChange={(event) => set(name, event.target.value)}
        />
      )}
    </Field>
  )
}
