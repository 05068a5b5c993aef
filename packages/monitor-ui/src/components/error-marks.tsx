import type { ErrorRow, ErrorState } from '@taskfleet/protocol'
import { useFleetClient } from '@taskfleet/react'
import { BellOff, CheckCheck, Undo2 } from 'lucide-react'
import { formatAge } from '../view/format.ts'
import { Button } from './button.tsx'
import { Foreign } from './foreign.tsx'
import { useAct } from './use-act.ts'

const DONE: Record<ErrorState, string> = { open: 'Open again', resolved: 'Resolved', ignored: 'Ignored' }
const HOUR_MS = 3_600_000
/** For how long an error can be ignored. */
const PAUSES: [label: string, ms: number | undefined][] = [
  ['1 h', HOUR_MS],
  ['1 d', 24 * HOUR_MS],
  ['7 d', 7 * 24 * HOUR_MS],
  ['until I reopen it', undefined],
]

/** Who resolved or ignored it, and until when. `by` is the name of the key, if it is known. */
export function ErrorMark({ error, now, by }: { error: ErrorRow; now: number; by?: string | undefined }) {
  const { marked, state, ignoredUntil } = error
  if (state === 'open' || marked === undefined) return null
  const until = ignoredUntil === undefined ? undefined : Date.parse(ignoredUntil)
  return (
    <span>
      {state} by <Foreign text={by ?? marked.by} max={40} /> {formatAge(now - Date.parse(marked.at))} ago
      {state === 'ignored' &&
        (until === undefined
          ? ', until it is reopened'
          : until > now
            ? `, for ${formatAge(until - now)} more`
            : '; its time is over, so it opens again when it comes back')}
    </span>
  )
}

/** Resolves, ignores or reopens an error. */
export function ErrorMarks({ error }: { error: ErrorRow }) {
  const client = useFleetClient()
  const { busy, actAside } = useAct()
  const mark = (state: ErrorState, forMs?: number) =>
    actAside(async () => {
      const until =
        forMs === undefined ? {} : { until: new Date(Date.now() + client.clockOffset + forMs).toISOString() }
      await client.errors.mark({ fingerprint: error._id, state, ...until })
      const undo = async () => {
        await client.errors.mark({ fingerprint: error._id, state: 'open' })
        return `${DONE.open}: ${error.code}`
      }
      return { text: `${DONE[state]}: ${error.code}`, ...(error.state === 'open' && { undo }) }
    })
  return (
    <>
      {error.state !== 'open' && (
        <Button icon={Undo2} disabled={busy} onClick={() => mark('open')}>
          Reopen
        </Button>
      )}
      {error.state === 'open' && (
        <span className="button relative pr-7 has-focus-visible:outline-2 has-focus-visible:outline-offset-2 has-focus-visible:outline-run">
          <BellOff size={14} aria-hidden /> Ignore
          <select
            aria-label="Ignore for"
            className="absolute inset-0 w-full cursor-pointer opacity-0"
            disabled={busy}
            value=""
            onChange={(event) => {
              const chosen = PAUSES[Number(event.target.value)]
              if (chosen !== undefined) mark('ignored', chosen[1])
            }}
          >
            <option value="" disabled>
              Ignore…
            </option>
            {PAUSES.map(([label], index) => (
              <option key={label} value={String(index)}>
                {label}
              </option>
            ))}
          </select>
          <span aria-hidden className="absolute right-2.5 text-[10px] text-dim">
            ▾
          </span>
        </span>
      )}
      {error.state !== 'resolved' && (
        <Button icon={CheckCheck} disabled={busy} onClick={() => mark('resolved')}>
          Resolve
        </Button>
      )}
    </>
  )
}
