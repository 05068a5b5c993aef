import type { QueueRow } from '@taskfleet/protocol'
import { useFleetClient } from '@taskfleet/react'
import { CirclePause, CirclePlay, Gauge } from 'lucide-react'
import { useState } from 'react'
import { useCan } from '../live/hooks.ts'
import { QueueLimitsDialog } from '../shell/dialogs.tsx'
import { limitsLine } from '../view/queue-lines.ts'
import { visibleLine } from '../view/text.ts'
import { Button, LinkButton } from './button.tsx'
import { ConfirmDialog } from './confirm-dialog.tsx'
import { Foreign } from './foreign.tsx'
import { LookMark } from './look-mark.tsx'
import { Time } from './time.tsx'
import { useAct } from './use-act.ts'
import { usePauseQueue } from './use-pause-queue.ts'

const PAUSED = { icon: CirclePause, label: 'Paused', tone: 'text-warn' }

/** Whether a queue is paused, by whom and why, and its limits. */
export function QueueState({ settings, now }: { settings: QueueRow | undefined; now: number }) {
  const mayControl = useCan('control')
  const [asking, setAsking] = useState(false)
  const limits = settings === undefined ? '' : limitsLine(settings)
  return (
    <>
      {settings?.paused === true ? (
        <>
          <LookMark look={PAUSED} />
          <span className="block text-xs text-dim">
            by <Foreign text={settings.by ?? 'unknown'} max={40} /> <Time at={settings.updatedAt} now={now} />
            {settings.reason !== undefined && (
              <>
                : <Foreign text={settings.reason} max={160} />
              </>
            )}
            {settings.reason === undefined && mayControl && (
              <>
                {' '}
                <LinkButton
                  aria-label={`Say why ${visibleLine(settings._id, 60)} is paused`}
                  onClick={() => setAsking(true)}
                >
                  Say why…
                </LinkButton>
              </>
            )}
          </span>
          {asking && <ReasonDialog queue={settings._id} onClose={() => setAsking(false)} />}
        </>
      ) : (
        <span className="text-dim">Open</span>
      )}
      {limits !== '' && <span className="block text-xs text-dim">{limits}</span>}
    </>
  )
}

interface Props {
  name: string
  settings: QueueRow | undefined
  /** Icons without words, for a row of a table. */
  brief?: boolean
}

/** The buttons for a queue's limits, and to pause or resume it. */
export function QueueActions({ name, settings, brief = false }: Props) {
  const { busy, actAside } = useAct()
  const change = usePauseQueue()
  const [limiting, setLimiting] = useState(false)
  const shown = visibleLine(name, 60)
  const [action, label, icon] =
    settings?.paused === true ? (['resume', 'Resume', CirclePlay] as const) : (['pause', 'Pause', CirclePause] as const)
  return (
    <span className="inline-flex gap-1.5">
      <Button
        icon={Gauge}
        aria-label={`Limits of ${shown}`}
        title={`Limits of ${shown}`}
        onClick={() => setLimiting(true)}
      >
        {!brief && 'Limits…'}
      </Button>
      <Button
        icon={icon}
        className={brief ? '' : 'min-w-[98px]'}
        aria-label={`${label} ${shown}`}
        title={action === 'pause' ? `Pause ${shown}: no task of it starts, running ones go on` : `Resume ${shown}`}
        disabled={busy}
        onClick={() => actAside(() => change(action, name, settings))}
      >
        {!brief && label}
      </Button>
      {limiting && <QueueLimitsDialog queue={name} settings={settings} onClose={() => setLimiting(false)} />}
    </span>
  )
}

/** Gives the reason of a pause afterwards, so that the pause itself needs no question. */
function ReasonDialog({ queue, onClose }: { queue: string; onClose: () => void }) {
  const client = useFleetClient()
  const say = async (reason: { reason?: string }) => {
    await client.queues.pause({ name: queue, ...reason })
    return `The queue ${visibleLine(queue, 60)} stays paused`
  }
  return (
    <ConfirmDialog
      title="Why is this queue paused?"
      confirm="Save"
      keep="Close"
      harmless
      asksReason
      run={say}
      onClose={onClose}
    >
      Everybody who looks at <Foreign text={queue} max={80} className="font-medium" /> sees the reason. It stays paused
      until it is resumed.
    </ConfirmDialog>
  )
}
