import type { WorkerRow } from '@taskfleet/protocol'
import { useFleetClient } from '@taskfleet/react'
import { CirclePause, CirclePlay, DoorOpen, OctagonPause, TriangleAlert } from 'lucide-react'
import { useState } from 'react'
import { useCan } from '../live/hooks.ts'
import type { WorkerView } from '../live/row-source.ts'
import { countOf } from '../view/counts.ts'
import { visibleLine } from '../view/text.ts'
import { Button } from './button.tsx'
import { ConfirmDialog } from './confirm-dialog.tsx'
import { Foreign } from './foreign.tsx'
import { useAct } from './use-act.ts'

/** Whether a host takes more tasks, why not, and the button for it. Its height is fixed, so nothing moves when it changes. */
export function GateLine({ worker, state, running }: { worker: WorkerRow; state: WorkerView; running: number }) {
  const mayControl = useCan('control')
  const { icon: Icon, text, tone, gate } = gateText(worker, state)
  return (
    <div className="mx-2 mt-1.5 flex h-9 items-center max-sm:h-12 gap-2" data-testid="gate" data-gate={gate}>
      <p className={`flex min-w-0 flex-1 items-center gap-1.5 text-xs leading-tight ${tone}`} title={text}>
        <Icon size={14} aria-hidden className="shrink-0" />
        <bdi className="line-clamp-2 max-sm:line-clamp-3">{text}</bdi>
      </p>
      {mayControl && (state === 'running' || state === 'draining') && (
        <DrainButton worker={worker} state={state} running={running} />
      )}
    </div>
  )
}

/** Which tasks the gate lets in, and why. */
function gateText(worker: WorkerRow, state: WorkerView) {
  const { gate } = worker
  const why = gate?.reason === undefined ? '' : `: ${visibleLine(gate.reason, 160)}`
  if (state === 'draining') {
    return { gate: 'draining', icon: CirclePause, tone: 'text-warn', text: 'Draining: finishes its tasks' }
  }
  if (worker.control?.action === 'drain' && state === 'running') {
    const by = visibleLine(worker.control.by, 40)
    return { gate: 'asked', icon: CirclePause, tone: 'text-warn', text: `Drain requested by ${by}` }
  }
  if (gate !== undefined && !gate.open) {
    return {
      gate: 'closed',
      icon: OctagonPause,
      tone: 'text-bad',
      text: `Closed for all tasks${why || ': overloaded'}`,
    }
  }
  if (gate !== undefined && !gate.lazy) {
    return { gate: 'lazy', icon: OctagonPause, tone: 'text-warn', text: `Closed for lazy tasks${why || ': busy'}` }
  }
  if (why !== '') {
    return { gate: 'some', icon: TriangleAlert, tone: 'text-warn', text: `Closed for some tasks${why}` }
  }
  return { gate: 'open', icon: DoorOpen, tone: 'text-dim', text: 'Accepts every task' }
}

interface DrainProps {
  worker: WorkerRow
  state: 'running' | 'draining'
  /** The number of running tasks. */
  running: number
}

function DrainButton({ worker, state, running }: DrainProps) {
  const client = useFleetClient()
  const [asking, setAsking] = useState(false)
  const { busy, actAside } = useAct()
  const draining = state === 'draining'
  const name = visibleLine(worker.name, 60)

  const ask = async (action: 'drain' | 'resume') => {
    await client.workers[action]({ worker: worker._id })
    return action === 'drain' ? `${name} accepts no new tasks` : `${name} accepts tasks again`
  }

  return (
    <>
      <Button
        icon={draining ? CirclePlay : CirclePause}
        className="min-h-7 min-w-[84px] shrink-0 px-2 text-xs"
        aria-label={`${draining ? 'Resume' : 'Drain'} ${name}`}
        disabled={busy}
        onClick={() => {
          if (!draining && running > 0) setAsking(true)
          else actAside(() => ask(draining ? 'resume' : 'drain'))
        }}
      >
        {draining ? 'Resume' : 'Drain'}
      </Button>
      {asking && (
        <ConfirmDialog
          title="Drain this host?"
          confirm="Drain the host"
          keep="Leave it running"
          harmless
          run={() => ask('drain')}
          onClose={() => setAsking(false)}
        >
          <Foreign text={worker.name} max={60} className="font-medium" /> runs {countOf(running, 'task')}. It finishes{' '}
          {running === 1 ? 'it' : 'them'} and accepts no new tasks until it is resumed.
        </ConfirmDialog>
      )}
    </>
  )
}
