import type { ScheduleRow } from '@taskfleet/protocol'
import { useFleetClient } from '@taskfleet/react'
import { useId, useMemo } from 'react'
import { useUi } from '../shell/ui-context.ts'
import {
  canPreview,
  newSchedule,
  scheduleChanges,
  scheduleErrors,
  scheduleForm,
  timingOf,
} from '../view/schedule-form.ts'
import { knownZones } from '../view/schedule-words.ts'
import { FormDialog } from './form-dialog.tsx'
import { JsonField, LazyField, Names, PriorityField, SelectField, TextField } from './form-fields.tsx'
import { SchedulePreview } from './schedule-preview.tsx'
import { useForm } from './use-form.ts'

interface Props {
  /** The one to be changed, with its input; a new one without. */
  schedule?: ScheduleRow
  /** Names of tasks that are known, to be offered. */
  tasks: readonly string[]
  onClose: () => void
}

export function ScheduleDialog({ schedule, tasks, onClose }: Props) {
  const client = useFleetClient()
  const toast = useUi((ui) => ui.toast)
  const taskList = useId()
  const zoneList = useId()
  const zones = useMemo(knownZones, [])
  const initial = useMemo(() => scheduleForm(schedule), [schedule])
  const state = useForm(initial, scheduleErrors, async (filled) => {
    const name = filled.name.trim()
    if (schedule === undefined) await client.schedules.create(newSchedule(filled))
    else {
      const { edition } = schedule
      await client.schedules.edit({ name, changes: scheduleChanges(filled, schedule), edition })
    }
    toast({ kind: 'good', text: `${name} ${schedule === undefined ? 'is scheduled' : 'was changed'}` })
    onClose()
  })
  const { form, set } = state
  return (
    <FormDialog
      {...state}
      title={schedule === undefined ? 'New schedule' : `Edit ${schedule._id}`}
      action={schedule === undefined ? 'Schedule' : 'Save'}
      onClose={onClose}
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
          font="font-mono"
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
      <SelectField {...state} name="missed" label="Missed slots" className="sm:col-span-3">
        <option value="latest">Run the last one</option>
        <option value="skip">Leave them out</option>
        <option value="all">Run each, 100 at most</option>
      </SelectField>
      <SelectField {...state} name="overlap" label="While the last one runs" className="sm:col-span-3">
        <option value="allow">Run all the same</option>
        <option value="skip">Leave the slot out</option>
      </SelectField>
      <h3 className="heading pt-1 sm:col-span-6">Its tasks</h3>
      <JsonField {...state} name="input" label="Input (JSON)" rows={3} />
      <TextField {...state} name="queue" label="Queue" placeholder="default" className="sm:col-span-3" />
      <PriorityField {...state} usual="As usual" className="sm:col-span-3" />
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
      <LazyField {...state}>Lazy: runs only while the machine is not overloaded</LazyField>
      {schedule !== undefined && (
        <p className="text-xs text-dim sm:col-span-6">What is queued already stays as it is.</p>
      )}
    </FormDialog>
  )
}
