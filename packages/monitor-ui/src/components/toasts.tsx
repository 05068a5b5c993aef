import { Link } from '@tanstack/react-router'
import { CircleCheck, CircleX, X } from 'lucide-react'
import { useUi } from '../shell/ui-context.ts'
import { visibleLine } from '../view/text.ts'
import { LinkButton } from './button.tsx'
import { IconButton } from './icon-button.tsx'
import { useAct } from './use-act.ts'

export function Toasts() {
  const toasts = useUi((ui) => ui.toasts)
  const dismiss = useUi((ui) => ui.dismiss)
  const { actAside } = useAct()
  return (
    <div
      role="status"
      aria-live="polite"
      className="pointer-events-none fixed inset-x-3 bottom-3 z-50 flex flex-col items-end gap-2"
    >
      {toasts.map(({ id, kind, text, task, undo }) => (
        <div
          key={id}
          data-testid="toast"
          className="toast panel pointer-events-auto flex max-w-full items-center gap-2 py-2 pr-1.5 pl-3 shadow-lg sm:max-w-md"
        >
          {kind === 'bad' ? (
            <CircleX size={16} className="shrink-0 text-bad" aria-hidden />
          ) : (
            <CircleCheck size={16} className="shrink-0 text-done" aria-hidden />
          )}
          <bdi className="min-w-0">{visibleLine(text, 160)}</bdi>
          {task !== undefined && (
            <Link
              to="/tasks/$id"
              params={{ id: task }}
              className="shrink-0 rounded px-1 font-medium text-run hover:underline"
              onClick={() => dismiss(id)}
            >
              Open
            </Link>
          )}
          {undo !== undefined && (
            <LinkButton
              className="shrink-0 px-1"
              onClick={() => {
                dismiss(id)
                actAside(undo)
              }}
            >
              Undo
            </LinkButton>
          )}
          <IconButton icon={X} label="Dismiss" title="Dismiss" className="-my-1 shrink-0" onClick={() => dismiss(id)} />
        </div>
      ))}
    </div>
  )
}
