import type { QueueRow } from '@taskfleet/protocol'
import { useFleetClient } from '@taskfleet/react'
import { CirclePause, CirclePlay, Gauge } from 'lucide-react'
import { useState } from 'react'
import { QueueLimitsDialog } from '../shell/dialogs.tsx'
import { limitsLine } from '../view/queue-lines.ts'
import { visibleLine } from '../view/text.ts'
import { Button } from './button.tsx'
import { ConfirmDialog } from './confirm-dialog.tsx'
import { Foreign } from './foreign.tsx'
import { LookMark } from './look-mark.tsx'
import { Time } from './time.tsx'
import { useAct } from './use-act.ts'

const PAUSED = { icon: CirclePause, label: 'Paused', tone: 'text-warn' }

/** Whether a queue is paused, by whom and why, and its limits. */
export function QueueState({ settings, now }: { settings: QueueRow | undefined; now: number }) {
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
          </span>
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
  const client = useFleetClient()
  const { busy, actAside } = useAct()
  const [dialog, setDialog] = useState<'pause' | 'limits'>()
  const close = () => setDialog(undefined)
  const shown = visibleLine(name, 60)
  const resume = async () => {
    await client.queues.resume({ name })
    return `The queue ${name} is resumed`
  }
  return (
    <span className="inline-flex gap-1.5">
      <Button
        icon={Gauge}
        aria-label={`Limits of ${shown}`}
        title={`Limits of ${shown}`}
        onClick={() => setDialog('limits')}
      >
        {!brief && 'Limits…'}
      </Button>
      {settings?.paused === true ? (
        <Button
          icon={CirclePlay}
          className={brief ? '' : 'min-w-[98px]'}
          aria-label={`Resume ${shown}`}
          title={`Resume ${shown}`}
          disabled={busy}
          onClick={() => actAside(resume)}
        >
          {!brief && 'Resume'}
        </Button>
      ) : (
        <Button
          icon={CirclePause}
          className={brief ? '' : 'min-w-[98px]'}
          aria-label={`Pause ${shown}`}
          title={`Pause ${shown}`}
          onClick={() => setDialog('pause')}
        >
          {!brief && 'Pause…'}
        </Button>
      )}
      {dialog === 'pause' && <PauseDialog queue={name} onClose={close} />}
      {dialog === 'limits' && <QueueLimitsDialog queue={name} settings={settings} onClose={close} />}
    </span>
  )
}

function PauseDialog({ queue, onClose }: { queue: string; onClose: () => void }) {
  const client = useFleetClient()
  const pause = async (reason: { reason?: string }) => {
    await client.queues.pause({ name: queue, ...reason })
    return `The queue ${queue} is paused`
  }
  return (
    <ConfirmDialog
      title="Pause this queue?"
      confirm="Pause the queue"
      keep="Leave it open"
      harmless
      asksReason
      run={pause}
      onClose={onClose}
    >
      No task of <Foreign text={queue} max={80} className="font-medium" /> starts until the queue is resumed. Running
      tasks go on.
    </ConfirmDialog>
  )
}
