import { type ReactNode, useState } from 'react'
import { Dialog } from './dialog.tsx'
import { Problem } from './notes.tsx'
import { ReasonField } from './reason-field.tsx'
import { useAct } from './use-act.ts'

interface Props {
  title: string
  /** What it will do, on its button. */
  confirm: string
  keep?: string
  /** Nothing is lost by it. */
  harmless?: boolean
  /** It may be given a reason. */
  asksReason?: boolean
  /** Does it; what it rejects with is shown. */
  run: (reason: { reason?: string }) => Promise<void>
  onClose: () => void
  children: ReactNode
}

/** Asks once more before something that others notice. */
export function ConfirmDialog(props: Props) {
  const { title, confirm, keep = 'Keep it', harmless = false, asksReason = false, run, onClose, children } = props
  const { busy, problem, act } = useAct()
  const [reason, setReason] = useState('')
  const confirmed = () =>
    act(async () => {
      const why = reason.trim()
      await run(why === '' ? {} : { reason: why })
      onClose()
    })
  return (
    <Dialog title={title} onClose={onClose}>
      <form
        onSubmit={(event) => {
          event.preventDefault()
          if (!busy) confirmed()
        }}
      >
        <p className={asksReason ? 'mb-3' : 'mb-4'}>{children}</p>
        {asksReason && <ReasonField value={reason} first={harmless} onChange={setReason} />}
        <Problem text={problem} className="mb-3" />
        <div className="flex flex-wrap justify-end gap-2">
          <button
            type="button"
            className="button"
            data-autofocus={!(asksReason && harmless) || undefined}
            onClick={onClose}
          >
            {keep}
          </button>
          <button type="submit" className={`button ${harmless ? 'button-solid' : 'button-bad'}`} disabled={busy}>
            {confirm}
          </button>
        </div>
      </form>
    </Dialog>
  )
}
