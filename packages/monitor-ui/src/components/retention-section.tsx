import { milliseconds, type Retention, shortDuration } from '@taskfleet/protocol'
import { useFleetClient, useServerTime } from '@taskfleet/react'
import { useState } from 'react'
import { useCan } from '../live/hooks.ts'
import { useAsked } from '../live/use-asked.ts'
import { STATUS_LOOK } from '../view/status.ts'
import { Button } from './button.tsx'
import { Foreign } from './foreign.tsx'
import { Listing } from './listing.tsx'
import { LookMark } from './look-mark.tsx'
import { EmptyNote, Problem } from './notes.tsx'
import { Section } from './section.tsx'
import { useAct } from './use-act.ts'

type Ended = keyof Retention

const STATUSES: readonly Ended[] = ['completed', 'failed', 'cancelled']
const AGAIN_MS = 30_000
const LEAST_MS = 1_000

/** How long ended tasks are kept. */
export function RetentionSection() {
  const client = useFleetClient()
  // The scopes of the key arrive just after the connection. Each tick looks at them again.
  useServerTime()
  const { answer, error, tryAgain } = useAsked(() => client.retention.show(), { key: 'retention', everyMs: AGAIN_MS })
  if (error?.code === 'FORBIDDEN') {
    return (
      <Section title="Retention">
        <EmptyNote title="This key may not read the retention">
          <Foreign text={error.message} max={300} />
        </EmptyNote>
      </Section>
    )
  }
  return (
    <Section title="Retention" head={<p className="text-dim">How long tasks are kept after their end.</p>}>
      <Listing
        views={[{ error, tryAgain }]}
        loaded={answer !== undefined}
        count={answer === undefined ? 0 : 1}
        empty={{ title: 'Loading…' }}
      >
        {answer !== undefined && <RetentionForm key={JSON.stringify(answer)} kept={answer} onSaved={tryAgain} />}
      </Listing>
    </Section>
  )
}

const textOf = (ms: number | null): string => (ms === null ? '' : shortDuration(ms))

function RetentionForm({ kept, onSaved }: { kept: Retention; onSaved: () => void }) {
  const client = useFleetClient()
  const mayChange = useCan('admin')
  const { busy, problem, act } = useAct()
  const [typed, setTyped] = useState({
    completed: textOf(kept.completed),
    failed: textOf(kept.failed),
    cancelled: textOf(kept.cancelled),
  })
  const changed = STATUSES.filter((status) => typed[status].trim() !== textOf(kept[status]))
  const wrong = changed.filter((status) => readKept(typed[status]) === undefined)
  const save = () =>
    act(async () => {
      await client.retention.set(
        Object.fromEntries(changed.map((status) => [status, readKept(typed[status])])) as Partial<Retention>,
      )
      onSaved()
      return 'Changed the retention'
    })
  return (
    <form
      className="panel dims flex flex-col gap-3 p-3"
      onSubmit={(event) => {
        event.preventDefault()
        if (!busy && changed.length > 0 && wrong.length === 0) save()
      }}
    >
      <div className="grid gap-3 sm:grid-cols-3">
        {STATUSES.map((status) => (
          <div key={status} className="flex min-w-0 flex-col gap-1">
            <label htmlFor={`kept-${status}`}>
              <LookMark look={STATUS_LOOK[status]} />
            </label>
            {mayChange ? (
              <input
                id={`kept-${status}`}
                className="field"
                placeholder="forever"
                value={typed[status]}
                aria-invalid={wrong.includes(status)}
                aria-describedby="kept-hint"
                onChange={({ target: { value } }) => setTyped({ ...typed, [status]: value })}
              />
            ) : (
              <output id={`kept-${status}`}>{textOf(kept[status]) || 'forever'}</output>
            )}
            {wrong.includes(status) && (
              <p role="alert" className="text-xs text-bad">
                Not a duration of at least 1 s, such as 30d or 12h
              </p>
            )}
          </div>
        ))}
      </div>
      <p id="kept-hint" className="text-xs text-dim">
        {mayChange
          ? 'A duration such as 30d or 12h; empty for forever. It applies to tasks that end from now on. Tasks that have ended keep their date.'
          : 'Changing it needs a key with admin rights.'}
      </p>
      <Problem text={problem} className="" />
      {changed.length > 0 && (
        <div className="flex flex-wrap justify-end gap-2">
          <Button
            onClick={() =>
              setTyped({
                completed: textOf(kept.completed),
                failed: textOf(kept.failed),
                cancelled: textOf(kept.cancelled),
              })
            }
          >
            Undo changes
          </Button>
          <Button type="submit" look="solid" disabled={busy || wrong.length > 0}>
            Save
          </Button>
        </div>
      )}
    </form>
  )
}

/** Milliseconds, null for forever, or undefined for what is no duration. */
function readKept(typed: string): number | null | undefined {
  const text = typed.trim().replaceAll(/\s+/g, '')
  if (text === '' || text === 'forever') return null
  try {
    const ms = milliseconds(text as '1s')
    return ms >= LEAST_MS ? ms : undefined
  } catch {
    return undefined
  }
}
