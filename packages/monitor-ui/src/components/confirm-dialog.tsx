import { type ReactNode, useState } from 'react'
import type { ToastText } from '../shell/ui-store.ts'
import { Button } from './button.tsx'
import { Dialog } from './dialog.tsx'
import { Problem } from './notes.tsx'
import { useAct } from './use-act.ts'

interface Props {
  title: string
  /** The text of the button that confirms. */
  confirm: string
  keep?: string
  /** Nothing is lost by it. */
  harmless?: boolean
  /** Asks for a reason, which the user may leave out. */
  asksReason?: boolean
  /** Resolves with the text of a toast. An error is shown in the dialog. */
  run: (reason: { reason?: string }) => Promise<ToastText>
  onClose: () => void
  children: ReactNode
}

/** Asks for a confirmation. */
export function ConfirmDialog(props: Props) {
  const { title, confirm, keep = 'Keep it', harmless = false, asksReason = false, run, onClose, children } = props
  const { busy, problem, act } = useAct()
  const [reason, setReason] = useState('')
  const startsInReason = asksReason && harmless
  const confirmed = () =>
    act(async () => {
      const why = reason.trim()
      const text = await run(why === '' ? {} : { reason: why })
      onClose()
      return text
    })
  return (
    <Dialog title={title} onClose={onClose}>
      <form
        onSubmit={(event) => {
          event.preventDefault()
          if (!busy) confirmed()
        }}
      >
        <p className="mb-4">{children}</p>
        {asksReason && (
          <label className="mb-4 block">
            <span className="mb-1 block text-dim">Reason (optional)</span>
            <input
              className="field w-full"
              value={reason}
              maxLength={200}
              data-autofocus={startsInReason || undefined}
              onChange={(event) => setReason(event.target.value)}
            />
          </label>
        )}
        <Problem text={problem} className="mb-3" />
        <div className="flex flex-wrap justify-end gap-2">
          <Button data-autofocus={!startsInReason || undefined} onClick={onClose}>
            {keep}
          </Button>
          <Button type="submit" look={harmless ? 'solid' : 'bad'} disabled={busy}>
            {confirm}
          </Button>
        </div>
      </form>
    </Dialog>
  )
}
