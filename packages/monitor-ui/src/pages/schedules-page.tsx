import { getRouteApi } from '@tanstack/react-router'
import type { ScheduleRow } from '@taskfleet/protocol'
import { useFleetClient, useLiveQuery, useServerTime } from '@taskfleet/react'
import { CirclePause, CirclePlay, Plus } from 'lucide-react'
import { useMemo, useState } from 'react'
import { Box } from '../components/box.tsx'
import { Button, LinkButton } from '../components/button.tsx'
import { ConfirmDialog } from '../components/confirm-dialog.tsx'
import { Dialog } from '../components/dialog.tsx'
import { Foreign } from '../components/foreign.tsx'
import { Listing } from '../components/listing.tsx'
import { Problem } from '../components/notes.tsx'
import { Page } from '../components/page.tsx'
import { ScheduleAgenda } from '../components/schedule-agenda.tsx'
import { ScheduleCard, type ScheduleCommand } from '../components/schedule-card.tsx'
import { SettledInput } from '../components/settled-input.tsx'
import { useAct } from '../components/use-act.ts'
import { type PauseAction, usePauseSchedules } from '../components/use-pause-schedules.ts'
import { useCan, useKept, useTaskNames } from '../live/hooks.ts'
import { SCHEDULES, statusesOf } from '../live/queries.ts'
import { useAsked } from '../live/use-asked.ts'
import { ScheduleDialog } from '../shell/dialogs.tsx'
import { countOf } from '../view/counts.ts'
import { changedSearch, type ScheduleSearch } from '../view/search.ts'
import { visibleLine } from '../view/text.ts'

const route = getRouteApi('/schedules')

type Opened = { dialog: 'new' } | { dialog: 'edit' | 'remove'; schedule: ScheduleRow }

/** Which task runs when. */
export function SchedulesPage() {
  const client = useFleetClient()
  const now = useServerTime()
  const mayControl = useCan('control')
  const navigate = route.useNavigate()
  const { name } = route.useSearch()
  const [opened, setOpened] = useState<Opened>()
  const view = useLiveQuery(SCHEDULES)
  const { rows, loaded } = view
  const shown = useMemo(
    () => rows.filter(({ _id }) => name === undefined || _id.toLowerCase().includes(name.toLowerCase())),
    [rows, name],
  )
  const lastTasks = useMemo(() => rows.flatMap(({ lastTask }) => lastTask ?? []).sort(), [rows])
  const tasks = useKept('', useLiveQuery(statusesOf(lastTasks)))
  const lastById = useMemo(() => new Map(tasks.rows.map((task) => [task._id, task])), [tasks.rows])

  const [chosen, setChosen] = useState<ReadonlySet<string>>(new Set())
  const selected = shown.filter(({ _id }) => chosen.has(_id))
  const select = (ids: readonly string[], on: boolean) =>
    setChosen((before) => new Set(on ? [...before, ...ids] : [...before].filter((id) => !ids.includes(id))))

  const { actAside } = useAct()
  const change = usePauseSchedules()
  const act = (command: Exclude<ScheduleCommand, 'edit' | 'remove'>, schedule: ScheduleRow) => {
    const { _id } = schedule
    actAside(async () => {
      if (command !== 'run') return change(command, [schedule])
      await client.schedules.run({ name: _id })
      return `${_id} runs now`
    }, `${_id}: `)
  }
  const onCommand = (command: ScheduleCommand, schedule: ScheduleRow) => {
    if (command === 'edit' || command === 'remove') setOpened({ dialog: command, schedule })
    else act(command, schedule)
  }
  return (
    <Page
      title="Schedules"
      head={
        <>
          <p role="status" aria-label="Count" className="text-xs text-dim">
            {loaded && countOf(shown.length, 'schedule')}
          </p>
          <SettledInput
            id="schedule-filter"
            label="Name of the schedule"
            placeholder="Name"
            className="field min-w-[120px] flex-1 sm:max-w-[220px]"
            value={name ?? ''}
            onSettled={(typed) =>
              void navigate({ search: changedSearch<ScheduleSearch>({}, { name: typed.trim() }), replace: true })
            }
          />
          {mayControl && (
            <Button icon={Plus} look="solid" className="ml-auto" onClick={() => setOpened({ dialog: 'new' })}>
              New schedule
            </Button>
          )}
        </>
      }
    >
      <Listing
        views={[view, tasks]}
        loaded={loaded}
        count={shown.length}
        empty={name === undefined ? NO_SCHEDULE : NO_MATCH}
      >
        <ScheduleAgenda schedules={shown} />
        {mayControl && (
          <ForSelected
            all={shown}
            selected={selected}
            onSelect={(on) =>
              select(
                shown.map(({ _id }) => _id),
                on,
              )
            }
          />
        )}
        <ul aria-label="Schedules" className="flex flex-col gap-2">
          {shown.map((schedule) => (
            <ScheduleCard
              key={schedule._id}
              schedule={schedule}
              last={schedule.lastTask === undefined ? undefined : lastById.get(schedule.lastTask)}
              now={now}
              box={
                mayControl && (
                  <Box
                    label={`Select ${visibleLine(schedule._id, 60)}`}
                    checked={chosen.has(schedule._id)}
                    onChange={(on) => select([schedule._id], on)}
                  />
                )
              }
              onCommand={mayControl ? (command) => onCommand(command, schedule) : undefined}
            />
          ))}
        </ul>
      </Listing>
      <OpenedDialog opened={opened} onClose={() => setOpened(undefined)} />
    </Page>
  )
}

const NO_MATCH = { title: 'No schedule has this name' }
const NO_SCHEDULE = {
  title: 'There are no schedules yet',
  hint: 'A schedule creates a task at the times of a cron in its time zone, or once per period.',
}

interface SelectedProps {
  all: readonly ScheduleRow[]
  selected: readonly ScheduleRow[]
  /** Selects all, or none. */
  onSelect: (on: boolean) => void
}

/** Selects all schedules, and pauses and resumes the selected ones. */
function ForSelected({ all, selected, onSelect }: SelectedProps) {
  const change = usePauseSchedules()
  const { busy, actAside } = useAct()
  const fitting = { pause: selected.filter(({ paused }) => !paused), resume: selected.filter(({ paused }) => paused) }
  const press = (action: PauseAction) =>
    actAside(async () => {
      const done = await change(action, fitting[action])
      onSelect(false)
      return done
    })
  return (
    <div
      role="group"
      aria-label="For the selected schedules"
      className="flex min-h-8 flex-wrap items-center gap-1.5 px-0.5"
    >
      <Box
        label="Select all schedules"
        checked={all.length > 0 && selected.length === all.length}
        onChange={onSelect}
      />
      {selected.length === 0 ? (
        <span className="text-dim">Select all</span>
      ) : (
        <>
          <p role="status" className="font-medium">
            {selected.length} selected
          </p>
          <LinkButton className="p-1" onClick={() => onSelect(false)}>
            Clear selection
          </LinkButton>
          <Button icon={CirclePause} disabled={busy || fitting.pause.length === 0} onClick={() => press('pause')}>
            {fitting.pause.length > 1 ? `Pause ${fitting.pause.length}` : 'Pause'}
          </Button>
          <Button icon={CirclePlay} disabled={busy || fitting.resume.length === 0} onClick={() => press('resume')}>
            {fitting.resume.length > 1 ? `Resume ${fitting.resume.length}` : 'Resume'}
          </Button>
        </>
      )}
    </div>
  )
}

function OpenedDialog({ opened, onClose }: { opened: Opened | undefined; onClose: () => void }) {
  const client = useFleetClient()
  const tasks = useTaskNames()
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
        return `Removed ${_id}`
      }
      return (
        <ConfirmDialog title="Remove this schedule?" confirm="Remove it" run={remove} onClose={onClose}>
          <Foreign text={_id} className="font-medium" /> will no longer run{' '}
          <Foreign text={task} className="font-medium" />. Tasks that are already queued stay as they are.
        </ConfirmDialog>
      )
    }
  }
}

/** A live row has no input, because it may be large. The whole schedule is loaded first. */
function EditDialog({ name, tasks, onClose }: { name: string; tasks: readonly string[]; onClose: () => void }) {
  const client = useFleetClient()
  const { answer, error } = useAsked(() => client.schedules.show({ name }), { key: name })
  if (answer !== undefined) return <ScheduleDialog schedule={answer} tasks={tasks} onClose={onClose} />
  return (
    <Dialog title={`Edit ${name}`} onClose={onClose}>
      {error === undefined ? <p className="text-dim">Loading…</p> : <Problem text={error.message} />}
    </Dialog>
  )
}
