import type { ErrorRow } from '@taskfleet/protocol'
import { useFleetClient } from '@taskfleet/react'
import { Pencil } from 'lucide-react'
import { type FormEvent, useState } from 'react'
import { useCan } from '../live/hooks.ts'
import { visibleText } from '../view/text.ts'
import { Button } from './button.tsx'
import { Foreign } from './foreign.tsx'
import { Problem } from './notes.tsx'
import { useAct } from './use-act.ts'

const OWNER_LENGTH = 100
const NOTE_LENGTH = 2_000

/** Who takes care of an error, and what others should know. Both can be edited. */
export function ErrorNotes({ error }: { error: ErrorRow }) {
  const client = useFleetClient()
  const mayControl = useCan('control')
  const [editing, setEditing] = useState(false)
  const { busy, problem, act } = useAct()
  const { owner, note } = error
  const save = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault()
    const form = new FormData(event.currentTarget)
    const typed = (name: string): string | null => String(form.get(name) ?? '').trim() || null
    act(async () => {
      await client.errors.mark({ fingerprint: error._id, owner: typed('owner'), note: typed('note') })
      setEditing(false)
      return 'Saved the owner and the note'
    })
  }
  return (
    <section className="panel p-3" aria-label="Owner and note">
      {editing ? (
        <form className="flex flex-col gap-2" onSubmit={save}>
          <label className="flex flex-col gap-1 sm:max-w-80">
            <span className="text-dim">Owner</span>
            <input name="owner" className="field" defaultValue={owner} maxLength={OWNER_LENGTH} autoComplete="off" />
          </label>
          <label className="flex flex-col gap-1">
            <span className="text-dim">Note</span>
            <textarea name="note" className="field" rows={4} defaultValue={note} maxLength={NOTE_LENGTH} />
          </label>
          <Problem text={problem} />
          <div className="flex justify-end gap-2">
            <Button onClick={() => setEditing(false)}>Close</Button>
            <Button type="submit" look="solid" disabled={busy}>
              Save
            </Button>
          </div>
        </form>
      ) : (
        <div className="flex items-start gap-3">
          <div className="min-w-0 flex-1">
            <p>
              <span className="text-dim">Owner </span>
              {owner === undefined ? 'nobody' : <Foreign text={owner} max={OWNER_LENGTH} className="font-medium" />}
            </p>
            {note !== undefined && (
              <p dir="auto" className="mt-1 break-words whitespace-pre-wrap" data-testid="error-note">
                {visibleText(note, NOTE_LENGTH)}
              </p>
            )}
          </div>
          {mayControl && (
            <Button icon={Pencil} onClick={() => setEditing(true)}>
              {note === undefined ? 'Add a note' : 'Edit'}
            </Button>
          )}
        </div>
      )}
    </section>
  )
}
