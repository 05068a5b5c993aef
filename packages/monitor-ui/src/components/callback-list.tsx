import type { CallbackRow } from '@taskfleet/protocol'
import { Pencil, Trash2 } from 'lucide-react'
import { useMemo } from 'react'
import { compactJson, visibleLine } from '../view/text.ts'
import { Foreign } from './foreign.tsx'
import { IconButton } from './icon-button.tsx'

interface Props {
  callbacks: readonly CallbackRow[]
  /** Absent without the permission. */
  onEdit: ((callback: CallbackRow) => void) | undefined
  onRemove: ((callback: CallbackRow) => void) | undefined
}

/** The callbacks, in the order of the events' names. */
export function CallbackList({ callbacks, onEdit, onRemove }: Props) {
  const sorted = useMemo(
    () => callbacks.toSorted((a, b) => a.event.localeCompare(b.event) || a.task.localeCompare(b.task)),
    [callbacks],
  )
  return (
    <ul aria-label="Callbacks" className="panel dims divide-y divide-line">
      {sorted.map((callback) => {
        const { _id, event, task, version, defaults } = callback
        const shown = `${visibleLine(event, 60)} → ${visibleLine(task, 60)}`
        return (
          <li
            key={_id}
            data-testid="callback"
            data-callback={_id}
            className="flex items-start gap-2 py-1.5 pr-1.5 pl-3"
          >
            <div className="min-w-0 flex-1 py-1">
              <p>
                <Foreign text={event} max={128} className="font-semibold" /> <span className="text-dim">→</span>{' '}
                <Foreign text={task} max={128} />
                <span className="text-dim">@{version}</span>
              </p>
              {Object.keys(defaults).length > 0 && (
                <p className="font-mono text-[11px] break-all text-dim">
                  <Foreign text={compactJson(defaults)} max={160} />
                </p>
              )}
            </div>
            {onEdit !== undefined && (
              <IconButton icon={Pencil} label={`Edit ${shown}`} title="Edit…" onClick={() => onEdit(callback)} />
            )}
            {onRemove !== undefined && (
              <IconButton
                icon={Trash2}
                label={`Remove ${shown}`}
                title="Remove…"
                danger
                onClick={() => onRemove(callback)}
              />
            )}
          </li>
        )
      })}
    </ul>
  )
}
