import { Link } from '@tanstack/react-router'
import type { ScheduleRow, TaskRow } from '@taskfleet/protocol'
import { useFleetClient } from '@taskfleet/react'
import { useOnScreen } from '../live/hooks.ts'
import { runsOf } from '../live/queries.ts'
import { useAsked } from '../live/use-asked.ts'
import { formatDuration, formatTime } from '../view/format.ts'
import { STATUS_LOOK } from '../view/status.ts'

const AGAIN_MS = 60_000

interface Props {
  schedule: ScheduleRow
  /** Its last task as it is now. */
  last: Pick<TaskRow, 'status'> | undefined
}

/** The last runs of a schedule, the newest at the right: each a link with the icon and the colour of its outcome. */
export function RunDots({ schedule: { _id, lastTask }, last }: Props) {
  const client = useFleetClient()
  const [ref, visible] = useOnScreen()
  const { answer, error } = useAsked(() => client.tasks.list(runsOf(_id)), {
    key: `${_id} ${lastTask} ${last?.status}`,
    everyMs: AGAIN_MS,
    active: visible && lastTask !== undefined,
  })
  if (lastTask === undefined) return null
  const runs = [...(answer?.tasks ?? [])].reverse()
  return (
    <div ref={ref} className="min-h-5 md:col-span-full">
      {error !== undefined && answer === undefined && <p className="text-xs text-dim">Last runs: {error.message}</p>}
      {runs.length > 0 && (
        <ol className="flex flex-wrap items-center" aria-label={`Last runs of ${_id.slice(0, 80)}`}>
          {runs.map((task) => {
            const { icon: Icon, label, tone } = STATUS_LOOK[task.status]
            const words = `${label}, ${formatTime(task.runAt)}${lasted(task)}`
            return (
              <li key={task._id}>
                <Link
                  to="/tasks/$id"
                  params={{ id: task._id }}
                  data-status={task.status}
                  aria-label={words}
                  title={words}
                  className={`block rounded p-[3px] hover:bg-raised ${tone}`}
                >
                  <Icon size={14} strokeWidth={2.2} aria-hidden />
                </Link>
              </li>
            )
          })}
        </ol>
      )}
    </div>
  )
}

function lasted({ startedAt, claimedAt, finishedAt }: TaskRow): string {
  const begun = startedAt ?? claimedAt
  if (begun === undefined || finishedAt === undefined) return ''
  return `, in ${formatDuration(Date.parse(finishedAt) - Date.parse(begun))}`
}
