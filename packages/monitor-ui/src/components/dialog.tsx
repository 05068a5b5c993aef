import { X } from 'lucide-react'
import { type ReactNode, useId, useLayoutEffect, useRef } from 'react'
import { IconButton } from './icon-button.tsx'

/** A modal `<dialog>`. The browser keeps the focus inside it. Escape and a click outside close it. */
export function Dialog({ title, onClose, children }: { title: string; onClose: () => void; children: ReactNode }) {
  const ref = useRef<HTMLDialogElement>(null)
  const titleId = useId()
  // Before the browser paints, so nobody sees or meets a closed dialog.
  useLayoutEffect(() => {
    const dialog = ref.current
    if (dialog === null || dialog.open) return
    dialog.showModal()
    dialog.querySelector<HTMLElement>('[data-autofocus]')?.focus()
    return () => dialog.close()
  }, [])
  return (
    // biome-ignore lint/a11y/useKeyWithClickEvents: a click outside does the same as Escape
    <dialog
      ref={ref}
      aria-labelledby={titleId}
      className="panel max-h-[92dvh] w-[min(560px,calc(100vw-24px))] overflow-auto p-0 shadow-2xl"
      onCancel={(event) => {
        event.preventDefault()
        onClose()
      }}
      onClick={(event) => {
        if (event.target === ref.current) onClose()
      }}
    >
      <div className="p-4 sm:p-5">
        <div className="mb-3 flex items-start justify-between gap-3">
          <h2 id={titleId} className="text-base font-semibold">
            {title}
          </h2>
          <IconButton icon={X} label="Close" title="Close" className="-m-1.5" onClick={onClose} />
        </div>
        {children}
      </div>
    </dialog>
  )
}
