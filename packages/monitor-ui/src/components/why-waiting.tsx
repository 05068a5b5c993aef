import { Link } from '@tanstack/react-router'
import { type ExplainReason, hasEnded, type TaskRow } from '@taskfleet/protocol'
import { useFleetClient, useServerTime } from '@taskfleet/react'
import {
  CircleHelp,
  CirclePause,
  Clock,
  FileWarning,
  Flag,
  Gauge,
  HardDrive,
  Link2,
  type LucideIcon,
  OctagonPause,
  Play,
  Rows3,
  ServerOff,
} from 'lucide-react'
import { useOnScreen } from '../live/hooks.ts'
import { useAsked } from '../live/use-asked.ts'
import { formatDuration, formatTime } from '../view/format.ts'
import { visibleText } from '../view/text.ts'
import { Foreign } from './foreign.tsx'

const AGAIN_MS = 5_000

/** Each reason in a few words. The message of the gateway follows. */
const LOOK: Record<ExplainReason['code'], { icon: LucideIcon; says: string; tone: string }> = {
  ENDED: { icon: Flag, says: 'It has ended', tone: 'text-dim' },
  RUNNING: { icon: Play, says: 'It is running', tone: 'text-run' },
  PAUSED: { icon: CirclePause, says: 'It is paused', tone: 'text-warn' },
  BLOCKED: { icon: Link2, says: 'It waits for another task', tone: 'text-block' },
  NOT_DUE: { icon: Clock, says: 'It is scheduled for later', tone: 'text-wait' },
  CHECKPOINT_ELSEWHERE: { icon: HardDrive, says: 'It waits for the host that has its data', tone: 'text-wait' },
  QUEUE_PAUSED: { icon: CirclePause, says: 'Its queue is paused', tone: 'text-warn' },
  RATE_LIMITED: { icon: Gauge, says: 'Its queue has reached its rate limit', tone: 'text-wait' },
  QUEUE_FULL: { icon: Rows3, says: 'Its queue has reached its concurrency limit', tone: 'text-wait' },
  NOT_SERVED: { icon: ServerOff, says: 'No worker can run it', tone: 'text-bad' },
  QUEUE_NOT_SERVED: { icon: ServerOff, says: 'No worker serves its queue', tone: 'text-bad' },
  NO_FREE_SLOT: { icon: Rows3, says: 'Every slot is taken', tone: 'text-wait' },
  GATE_CLOSED: { icon: OctagonPause, says: 'The hosts are overloaded', tone: 'text-warn' },
  CORRUPT: { icon: FileWarning, says: 'Its document is damaged', tone: 'text-bad' },
  ABOUT_TO_RUN: { icon: Play, says: 'It is about to run', tone: 'text-run' },
}
/** For reasons that only a newer gateway knows. */
const UNKNOWN = { icon: CircleHelp, says: 'It waits', tone: 'text-wait' }

/** Why a task doesn't run. Loaded again when its row changes, and every few seconds while it is visible. */
export function WhyWaiting({ task }: { task: TaskRow }) {
  if (task.status === 'running' || hasEnded(task.status)) return null
  return <Reasons task={task} />
}

function Reasons({ task }: { task: TaskRow }) {
  const client = useFleetClient()
  const [ref, visible] = useOnScreen()
  const { answer, error } = useAsked(() => client.tasks.explain({ id: task._id }), {
    key: `${task._id} ${task.rev}`,
    everyMs: AGAIN_MS,
    active: visible,
  })
  return (
    <section ref={ref} className="panel dims p-3" aria-label="Why is it waiting?" data-testid="why">
      <h2 className="heading mb-2">Why is it waiting?</h2>
      <div className="min-h-[46px]">
        {answer !== undefined && (
          <>
            <ul className="flex flex-col gap-1.5">
              {answer.reasons.map((reason) => (
                <Reason key={`${reason.code} ${reason.task ?? ''}`} reason={reason} task={task} />
              ))}
            </ul>
            <p className={`mt-2 text-xs ${answer.willRun ? 'text-dim' : 'text-warn'}`}>
              {answer.willRun ? 'It will run without further action.' : 'It will not run without an action.'}
            </p>
          </>
        )}
        {answer === undefined && error === undefined && <p className="text-dim">Loading…</p>}
        {error !== undefined && (
          <p role="alert" className="mt-1 text-bad">
            {visibleText(error.message, 300)}
          </p>
        )}
      </div>
    </section>
  )
}

function Reason({ reason, task }: { reason: ExplainReason; task: TaskRow }) {
  const now = useServerTime()
  const { icon: Icon, says, tone } = LOOK[reason.code] ?? UNKNOWN
  const at = reason.at === undefined ? undefined : Date.parse(reason.at)
  return (
    <li className="flex items-start gap-2.5" data-reason={reason.code}>
      <Icon size={15} aria-hidden className={`mt-0.5 shrink-0 ${tone}`} />
      <div className="min-w-0 flex-1">
        <span className="font-medium">{says}</span>
        <span className="text-dim">
          {' · '}
          {at !== undefined && reason.at !== undefined ? (
            <>
              It becomes active {at > now ? `in ${formatDuration(at - now)}` : 'now'} ({formatTime(reason.at)})
            </>
          ) : (
            <Foreign text={reason.message} max={400} />
          )}
        </span>
        <Links reason={reason} task={task} />
      </div>
    </li>
  )
}

const WORKERS_SHOWN = 6

/** Links to the place where the reason is shown or can be changed. */
function Links({ reason, task }: { reason: ExplainReason; task: TaskRow }) {
  const { code, workers = [] } = reason
  const link = 'rounded text-run hover:underline'
  return (
    <div className="mt-0.5 flex flex-wrap gap-x-3 gap-y-0.5 text-xs font-medium empty:hidden">
      {reason.task !== undefined && (
        <Link to="/tasks/$id" params={{ id: reason.task }} className={link}>
          Open the task it waits for
        </Link>
      )}
      {(code === 'QUEUE_PAUSED' || code === 'QUEUE_NOT_SERVED') && (
        <Link to="/queues" className={link}>
          Queue <Foreign text={task.queue} max={40} />
        </Link>
      )}
      {code === 'NOT_SERVED' && (
        <Link to="/handlers" className={link}>
          Coverage
        </Link>
      )}
      {code === 'NO_FREE_SLOT' && (
        <Link to="/tasks" search={{ status: ['pending'], queue: task.queue, sort: '-priority' }} className={link}>
          Waiting tasks of the queue
        </Link>
      )}
      {workers.slice(0, WORKERS_SHOWN).map((name) => (
        <Link key={name} to="/tasks" search={{ status: ['running'], host: name }} className={link}>
          <Foreign text={name} max={40} />
        </Link>
      ))}
    </div>
  )
}
