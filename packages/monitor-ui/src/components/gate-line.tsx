import type { WorkerRow } from '@taskfleet/protocol'
import { CirclePause, CirclePlay, DoorOpen, OctagonPause, TriangleAlert } from 'lucide-react'
import { useCan } from '../live/hooks.ts'
import type { WorkerView } from '../live/row-source.ts'
import { visibleLine } from '../view/text.ts'
import { Button } from './button.tsx'
import { useAct } from './use-act.ts'
import { useDrain } from './use-drain.ts'

/** Whether a host takes more tasks, why not, and the button for it. Its height is fixed, so nothing moves when it changes. */
export function GateLine({ worker, state }: { worker: WorkerRow; state: WorkerView }) {
  const mayControl = useCan('control')
  const { icon: Icon, text, tone, gate } = gateText(worker, state)
  return (
    <div className="mx-2 mt-1.5 flex h-9 items-center max-sm:h-12 gap-2" data-testid="gate" data-gate={gate}>
      <p className={`flex min-w-0 flex-1 items-center gap-1.5 text-xs leading-tight ${tone}`} title={text}>
        <Icon size={14} aria-hidden className="shrink-0" />
        <bdi className="line-clamp-2 max-sm:line-clamp-3">{text}</bdi>
      </p>
      {mayControl && (state === 'running' || state === 'draining') && <DrainButton worker={worker} state={state} />}
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
}

function DrainButton({ worker, state }: DrainProps) {
  const drain = useDrain()
  const { busy, actAside } = useAct()
  const action = state === 'draining' ? 'resume' : 'drain'
  const label = action === 'drain' ? 'Drain' : 'Resume'
  return (
    <Button
      icon={action === 'drain' ? CirclePause : CirclePlay}
      className="min-h-7 min-w-[84px] shrink-0 px-2 text-xs"
      aria-label={`${label} ${visibleLine(worker.name, 60)}`}
      title={action === 'drain' ? 'It finishes its tasks and accepts no new ones' : 'It accepts tasks again'}
      disabled={busy}
      onClick={() => actAside(() => drain(action, [worker]))}
    >
      {label}
    </Button>
  )
}
