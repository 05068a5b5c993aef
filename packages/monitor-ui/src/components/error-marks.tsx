import type { ErrorRow, ErrorState } from '@taskfleet/protocol'
import { useFleetClient } from '@taskfleet/react'
import { BellOff, CheckCheck, type LucideIcon, Tag, Undo2 } from 'lucide-react'
import { formatAge } from '../view/format.ts'
import { visibleLine } from '../view/text.ts'
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
      {state}
      {error.resolvedIn !== undefined && state === 'resolved' && (
        <>
          {' '}
          in <Foreign text={`${error.resolvedIn.name}@${error.resolvedIn.version}`} max={60} />
        </>
      )}{' '}
      by <Foreign text={by ?? marked.by} max={40} /> {formatAge(now - Date.parse(marked.at))} ago
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
  const resolveIn = (resolvedIn: string) =>
    actAside(async () => {
      await client.errors.mark({ fingerprint: error._id, state: 'resolved', resolvedIn })
      const undo = async () => {
        await client.errors.mark({ fingerprint: error._id, state: 'open' })
        return `${DONE.open}: ${error.code}`
      }
      return { text: `Resolved in ${visibleLine(resolvedIn, 60)}: ${error.code}`, undo }
    })
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
        <Choice
          label="Ignore"
          name="Ignore for"
          icon={BellOff}
          disabled={busy}
          options={PAUSES.map(([label]) => label)}
          onChoose={(chosen) => mark('ignored', PAUSES.find(([label]) => label === chosen)?.[1])}
        />
      )}
      {error.state === 'open' && error.versions.length > 0 && (
        <Choice
          label="Resolve in"
          icon={Tag}
          disabled={busy}
          options={nextVersions(error.versions)}
          onChoose={resolveIn}
        />
      )}
      {error.state !== 'resolved' && (
        <Button icon={CheckCheck} disabled={busy} onClick={() => mark('resolved')}>
          Resolve
        </Button>
      )}
    </>
  )
}

/** The version after the last one of each handler in which it happened: where a fix would be. */
function nextVersions(versions: readonly string[]): string[] {
  const latest = new Map<string, number>()
  for (const type of versions) {
    const at = type.lastIndexOf('@')
    const [name, version] = [type.slice(0, at), Number(type.slice(at + 1))]
    if (at > 0 && Number.isInteger(version)) latest.set(name, Math.max(version, latest.get(name) ?? 0))
  }
  return [...latest].map(([name, version]) => `${name}@${version + 1}`)
}

interface ChoiceProps {
  label: string
  /** For screen readers, if it is not the label. */
  name?: string
  icon: LucideIcon
  disabled: boolean
  options: readonly string[]
  onChoose: (option: string) => void
}

/** A button that opens a native list. */
function Choice({ label, name = label, icon: Icon, disabled, options, onChoose }: ChoiceProps) {
  return (
    <span className="button relative pr-7 has-focus-visible:outline-2 has-focus-visible:outline-offset-2 has-focus-visible:outline-run">
      <Icon size={14} aria-hidden /> {label}
      <select
        aria-label={name}
        className="absolute inset-0 w-full cursor-pointer opacity-0"
        disabled={disabled}
        value=""
        onChange={({ target }) => {
          const chosen = options[Number(target.value)]
          if (chosen !== undefined) onChoose(chosen)
        }}
      >
        <option value="" disabled>
          {label}…
        </option>
        {options.map((option, index) => (
          <option key={option} value={String(index)}>
            {visibleLine(option, 60)}
          </option>
        ))}
      </select>
      <span aria-hidden className="absolute right-2.5 text-[10px] text-dim">
        ▾
      </span>
    </span>
  )
}
