import { type ReactNode, useState } from 'react'
import { wireError } from '../live/wire-error.ts'
import { Dialog } from './dialog.tsx'
import { Problem } from './notes.tsx'

interface Props {
  title: string
  /** What it will do, on its button. */
  confirm: string
  keep?: string
  /** Does it; what it rejects with is shown. */
  run: () => Promise<void>
  onClose: () => void
  children: ReactNode
}

/** Asks once more before something that can't be undone. */
export function ConfirmDialog({ title, confirm, keep = 'Keep it', run, onClose, children }: Props) {
  const [problem, setProblem] = useState<string>()
  const [busy, setBusy] = useState(false)
  const act = async () => {
    setBusy(true)
    setProblem(undefined)
    try {
      await run()
      onClose()
    } catch (thrown) {
      setProblem(wireError(thrown).message)
    } finally {
      setBusy(false)
    }
  }
  return (
    <Dialog title={title} onClose={onClose}>
      <form
        onSubmit={(event) => {
          event.preventDefault()
          if (!busy) void act()
        }}
      >
        <p className="mb-4">{children}</p>
        <Problem text={problem} className="mb-3" />
        <div className="flex flex-wrap justify-end gap-2">
          <button type="button" className="button" data-autofocus onClick={onClose}>
            {keep}
          </button>
          <button type="submit" className="button button-bad" disabled={busy}>
            {confirm}
          </button>
        </div>
      </form>
    </Dialog>
  )
}
