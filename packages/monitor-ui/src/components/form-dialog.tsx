import type { ReactNode } from 'react'
import { Dialog } from './dialog.tsx'
import { Problem } from './notes.tsx'
import type { Sending } from './use-form.ts'

interface Props extends Sending {
  title: string
  /** What it will do, on its button. */
  action: string
  onClose: () => void
  /** Laid out on six columns, one on a narrow screen. */
  children: ReactNode
}

/** A form in a dialog, with what the server has against it above its buttons. Nothing is sent while it is busy. */
export function FormDialog({ title, action, onClose, children, element, problem, busy, submit }: Props) {
  return (
    <Dialog title={title} onClose={onClose}>
      <form
        ref={element}
        noValidate
        className="grid grid-cols-1 gap-3 sm:grid-cols-6"
        onSubmit={(event) => {
          event.preventDefault()
          if (!busy) submit()
        }}
      >
        {children}
        <Problem text={problem} className="sm:col-span-6" />
        <div className="flex flex-wrap justify-end gap-2 pt-1 sm:col-span-6">
          <button type="button" className="button" onClick={onClose}>
            Close
          </button>
          <button type="submit" className="button button-solid" disabled={busy}>
            {action}
          </button>
        </div>
      </form>
    </Dialog>
  )
}
