import { OPERATIONS, type ScheduleRow, type TimingRequest } from '@taskfleet/protocol'
import { useFleetClient } from '@taskfleet/react'
import { useMemo, useState } from 'react'
import { partOf, RequestForm, request, useReading } from '../form/request-form.tsx'
import { knownZones, zoneName } from '../view/zone.ts'
import { SchedulePreview } from './schedule-preview.tsx'

const BY = { cron: 'By a cron', every: 'By a period' }
type By = keyof typeof BY

export function ScheduleDialog({
  schedule,
  tasks,
  onClose,
}: {
  /** The schedule to edit, with its input. Without it, the dialog makes a new one. */
  schedule?: ScheduleRow
  /** Suggested names of tasks. */
  tasks: readonly string[]
  onClose: () => void
}) {
  const client = useFleetClient()
  const zones = useMemo(knownZones, [])
  const [by, setBy] = useState<By>(schedule?.every === undefined ? 'cron' : 'every')
  const create = request(OPERATIONS.schedules.create.request, async (wanted) => {
    await client.schedules.create(wanted)
    return `${wanted._id} is scheduled`
  })
  const edit = ({ _id: name, edition }: ScheduleRow) =>
    request(partOf(OPERATIONS.schedules.edit, 'changes'), async (changes) => {
      await client.schedules.edit({ name, changes, edition })
      return `${name} was changed`
    })
  return (
    <RequestForm
      title={schedule === undefined ? 'New schedule' : `Edit ${schedule._id}`}
      action={schedule === undefined ? 'Schedule' : 'Save'}
      request={schedule === undefined ? create : edit(schedule)}
      value={schedule ?? { version: 1, cron: '0 3 * * *', timeZone: zoneName() }}
      {...(schedule !== undefined && { edits: true, note: 'Queued tasks stay as they are.' })}
      places={{
        _id: { span: 6 },
        task: { names: tasks },
        version: { after: <ByField by={by} onChange={setBy} /> },
        cron: { mono: true },
        every: { placeholder: '15m', hint: 'At least 1s' },
        timeZone: { names: zones, hint: '' },
        startsAt: { label: 'Not before' },
        endsAt: { label: 'Not after', after: <Preview before={schedule} by={by} /> },
        missed: {},
        overlap: {},
        input: { hint: '{} if empty', rows: 3, before: <h3 className="heading pt-1 sm:col-span-6">Its tasks</h3> },
        'options.queue': {},
        'options.priority': {},
        'options.maxAttempts': {},
        'options.deadlineAfter': {},
        'options.lazy': {},
      }}
      hide={[by === 'cron' ? 'every' : 'cron', 'paused', 'edition', 'options.retry.maxAttempts']}
      onClose={onClose}
    />
  )
}

function ByField({ by, onChange }: { by: By; onChange: (by: By) => void }) {
  return (
    <fieldset className="sm:col-span-6">
      <legend className="heading pb-1">When</legend>
      <div className="flex gap-4">
        {(Object.keys(BY) as By[]).map((one) => (
          <label key={one} className="flex items-center gap-2">
            <input type="radio" checked={by === one} onChange={() => onChange(one)} />
            {BY[one]}
          </label>
        ))}
      </div>
    </fieldset>
  )
}

const TIMING = ['cron', 'every', 'timeZone', 'startsAt', 'endsAt'] as const

/** The next times of the typed schedule, if it is valid. */
function Preview({ before, by }: { before: ScheduleRow | undefined; by: By }) {
  const { value, errors } = useReading()
  const { cron, every, ...rest } = before ?? ({} as Partial<ScheduleRow>)
  const timing: Record<string, unknown> = { ...rest, ...(by === 'cron' ? { cron } : { every }), ...value }
  const isGiven = timing[by] !== undefined && TIMING.every((field) => errors[field] === undefined)
  const asked = TIMING.flatMap((field) => (timing[field] == null ? [] : [[field, timing[field]]]))
  return (
    <div className="sm:col-span-6">
      <SchedulePreview timing={isGiven ? (Object.fromEntries(asked) as TimingRequest) : undefined} />
    </div>
  )
}
