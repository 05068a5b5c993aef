import type { EventRow } from '@taskfleet/protocol'
import { Ban, Trash2 } from 'lucide-react'
import { useMemo } from 'react'
import { EVENT_LOOK, eventWhen, isOpen } from '../view/event-status.ts'
import { formatTime } from '../view/format.ts'
import { compactJson, visibleLine } from '../view/text.ts'
import { ErrorText } from './error-text.tsx'
import { Foreign } from './foreign.tsx'
import { IconButton } from './icon-button.tsx'
import { JsonView } from './json-view.tsx'
import { LookMark } from './look-mark.tsx'
import { TaskLink } from './task-link.tsx'

export type EventCommand = 'cancel' | 'remove'

interface Props {
  event: EventRow
  /** It has left the list, and keeps its place only while the user points there. */
  gone: boolean
  now: number
  /** Absent without the permission. */
  onCommand: ((command: EventCommand) => void) | undefined
}

/** An event with its tasks, and their results once they have ended. */
export function EventCard({ event, gone, now, onCommand }: Props) {
  const { name, status, props, scheduledFor, processedAt, priority } = event
  const brief = useMemo(() => compactJson(props), [props])
  const open = isOpen(status)
  return (
    <li
      data-testid="event"
      data-event={event._id}
      data-status={status}
      data-gone={gone || undefined}
      className={`panel dims px-3 py-2.5 ${gone ? 'opacity-40' : ''}`}
    >
      <div className="flex flex-wrap items-center gap-x-3 gap-y-1">
        <LookMark look={EVENT_LOOK[status]} className="w-24" />
        <Foreign text={name} max={128} className="font-semibold" />
        {priority !== undefined && <span className="text-xs text-dim">priority {priority}</span>}
        <time
          dateTime={processedAt ?? scheduledFor}
          title={`scheduled for ${formatTime(scheduledFor)}`}
          className="ml-auto text-xs whitespace-nowrap text-dim"
        >
          {status === 'scheduled' && `${formatTime(scheduledFor)}, `}
          {eventWhen(event, now)}
        </time>
        {onCommand !== undefined && !gone && (
          <IconButton
            icon={open ? Ban : Trash2}
            label={`${open ? 'Cancel' : 'Remove'} ${visibleLine(name, 60)}`}
            title={open ? 'Cancel…' : 'Remove from the log…'}
            danger
            className="-my-1"
            onClick={() => onCommand(open ? 'cancel' : 'remove')}
          />
        )}
      </div>
      <details className="mt-1">
        <summary className="font-mono text-xs break-all text-dim hover:text-text">
          <bdi>{visibleLine(brief, 160)}</bdi>
        </summary>
        <div className="mt-1.5">
          <JsonView value={props} label="Props" />
        </div>
      </details>
      <Outcomes event={event} />
    </li>
  )
}

const SHOWN = 8

/** Links to the tasks of an event, with their results where they are known. */
function Outcomes({ event: { tasks, results = [] } }: { event: EventRow }) {
  const byTask = new Map(results.map((result) => [result.task, result]))
  if (tasks.length === 0) return <p className="mt-1 text-xs text-dim">No callback was registered for it.</p>
  return (
    <ul aria-label="Tasks" className="mt-1.5 flex flex-col gap-0.5 text-xs">
      {tasks.slice(0, SHOWN).map((id) => {
        const result = byTask.get(id)
        return (
          <li key={id} className="flex flex-wrap gap-x-2">
            <TaskLink id={id} />
            {result !== undefined && <Result result={result} />}
          </li>
        )
      })}
      {tasks.length > SHOWN && <li className="text-dim">and {tasks.length - SHOWN} more tasks</li>}
    </ul>
  )
}

function Result({ result }: { result: NonNullable<EventRow['results']>[number] }) {
  const { name, status, output, error } = result
  const brief = useMemo(() => (output === undefined ? undefined : compactJson(output)), [output])
  return (
    <span className="min-w-0">
      <Foreign text={name} max={80} />
      {error !== undefined ? (
        <>
          {': '}
          <ErrorText error={error} max={200} className="text-dim" />
        </>
      ) : brief !== undefined ? (
        <>
          {' = '}
          <Foreign text={brief} max={200} className="font-mono break-all" />
        </>
      ) : (
        <span className="text-dim"> {status}</span>
      )}
    </span>
  )
}
