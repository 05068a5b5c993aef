import { getRouteApi } from '@tanstack/react-router'
import type { ScheduleRow } from '@taskfleet/protocol'
import { useFleetClient, useLiveQuery, useServerTime } from '@taskfleet/react'
import { Plus } from 'lucide-react'
import { useMemo, useState } from 'react'
import { ConfirmDialog } from '../components/confirm-dialog.tsx'
import { Dialog } from '../components/dialog.tsx'
import { Foreign } from '../components/foreign.tsx'
import { EmptyNote, Problem, RowsProblem } from '../components/notes.tsx'
import { ScheduleCard, type ScheduleCommand } from '../components/schedule-card.tsx'
import { SettledInput } from '../components/settled-input.tsx'
import { useAct } from '../components/use-act.ts'
import { useCan, useKept, useWorkers } from '../live/hooks.ts'
import { SCHEDULES, statusesOf } from '../live/queries.ts'
import { useAsked } from '../live/use-asked.ts'
import { ScheduleDialog } from '../shell/dialogs.tsx'
import { useUi } from '../shell/ui-context.ts'
import { formatCount } from '../view/counts.ts'

const route = getRouteApi('/schedules')

type Opened = { dialog: 'new' } | { dialog: 'edit' | 'remove'; schedule: ScheduleRow }

/** Which task runs when, again and again. */
export function SchedulesPage() {
  const client = useFleetClient()
  const now = useServerTime()
  const mayControl = useCan('control')
  const toast = useUi((ui) => ui.toast)
  const navigate = route.useNavigate()
  const { name } = route.useSearch()
  const [opened, setOpened] = useState<Opened>()
  const view = useLiveQuery(SCHEDULES)
  const { rows, loaded, error } = view
  const shown = useMemo(
    () => rows.filter(({ _id }) => name === undefined || _id.toLowerCase().includes(name.toLowerCase())),
    [rows, name],
  )
  const lastTasks = useMemo(() => rows.flatMap(({ lastTask }) => lastTask ?? []).sort(), [rows])
  const tasks = useKept('', useLiveQuery(statusesOf(lastTasks)))
  const lastById = useMemo(() => new Map(tasks.rows.map((task) => [task._id, task])), [tasks.rows])

  const { actAside } = useAct()
  const act = (command: Exclude<ScheduleCommand, 'edit' | 'remove'>, { _id }: ScheduleRow) =>
    actAside(async () => {
      await client.schedules[command]({ name: _id })
      toast({ kind: 'good', text: `${_id} ${DONE[command]}` })
    }, `${_id}: `)
  const onCommand = (command: ScheduleCommand, schedule: ScheduleRow) => {
    if (command === 'edit' || command === 'remove') setOpened({ dialog: command, schedule })
    else act(command, schedule)
  }
  return (
    <div className="mx-auto flex w-full max-w-[1400px] flex-col gap-3 p-3 sm:p-4">
      <div className="flex min-h-8 flex-wrap items-center gap-x-4 gap-y-2">
        <h1 className="text-base font-semibold">Schedules</h1>
        <p role="status" aria-label="Count" className="text-xs text-dim">
          {loaded && `${formatCount(shown.length)} ${shown.length === 1 ? 'schedule' : 'schedules'}`}
        </p>
        <SettledInput
          id="schedule-filter"
          label="Name of the schedule"
          placeholder="Name"
          className="field min-w-[120px] flex-1 sm:max-w-[220px]"
          value={name ?? ''}
          onSettled={(typed) => {
            const wanted = typed.trim()
            void navigate({ search: wanted === '' ? {} : { name: wanted }, replace: true })
          }}
        />
        {mayControl && (
          <button type="button" className="button button-solid ml-auto" onClick={() => setOpened({ dialog: 'new' })}>
            <Plus size={14} aria-hidden /> New schedule
          </button>
        )}
      </div>
      <RowsProblem views={[view, tasks]} />
      {shown.length === 0 && error === undefined && <NoSchedules loaded={loaded} filtered={name !== undefined} />}
      {shown.length > 0 && (
        <ul aria-label="Schedules" className="flex flex-col gap-2">
          {shown.map((schedule) => (
            <ScheduleCard
              key={schedule._id}
              schedule={schedule}
              last={schedule.lastTask === undefined ? undefined : lastById.get(schedule.lastTask)}
              now={now}
              onCommand={mayControl ? (command) => onCommand(command, schedule) : undefined}
            />
          ))}
        </ul>
      )}
      <OpenedDialog opened={opened} onClose={() => setOpened(undefined)} />
    </div>
  )
}

const DONE = { run: 'runs now', pause: 'is paused', resume: 'goes on' } as const

function NoSchedules({ loaded, filtered }: { loaded: boolean; filtered: boolean }) {
  if (!loaded) return <EmptyNote title="Asking the gateway…" />
  if (filtered) return <EmptyNote title="No schedule has this name" />
  return (
    <EmptyNote title="Nothing is scheduled yet">
      A schedule makes a task at the times of a cron, in a time zone of its own, or once in a while.
    </EmptyNote>
  )
}

function OpenedDialog({ opened, onClose }: { opened: Opened | undefined; onClose: () => void }) {
  const client = useFleetClient()
  const toast = useUi((ui) => ui.toast)
  const workers = useWorkers()
  const tasks = useMemo(
    () =>
      [
        ...new Set([...workers.values()].flatMap((worker) => worker.tasks.map((task) => task.replace(/@\d+$/, '')))),
      ].sort(),
    [workers],
  )
  switch (opened?.dialog) {
    case undefined:
      return null
    case 'new':
      return <ScheduleDialog tasks={tasks} onClose={onClose} />
    case 'edit':
      return <EditDialog name={opened.schedule._id} tasks={tasks} onClose={onClose} />
    case 'remove': {
      const { _id, task } = opened.schedule
      const remove = async () => {
        await client.schedules.remove({ name: _id })
        toast({ kind: 'good', text: `Removed ${_id}` })
      }
      return (
        <ConfirmDialog title="Remove this schedule?" confirm="Remove it" run={remove} onClose={onClose}>
          <Foreign text={_id} className="font-medium" /> will no longer run{' '}
          <Foreign text={task} className="font-medium" />. What is queued already stays as it is.
        </ConfirmDialog>
      )
    }
  }
}

/** Live rows have no input, which may be large: it is asked for first. */
function EditDialog({ name, tasks, onClose }: { name: string; tasks: readonly string[]; onClose: () => void }) {
  const client = useFleetClient()
  const { answer, error } = useAsked(() => client.schedules.show({ name }), { key: name })
  if (answer !== undefined) return <ScheduleDialog schedule={answer} tasks={tasks} onClose={onClose} />
  return (
    <Dialog title={`Edit ${name}`} onClose={onClose}>
      {error === undefined ? <p className="text-dim">Asking the gateway…</p> : <Problem text={error.message} />}
    </Dialog>
  )
}
