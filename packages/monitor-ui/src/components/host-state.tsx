import type { WorkerRow } from '@taskfleet/protocol'
import { heartbeatAge, type WorkerView } from '../live/row-source.ts'
import { formatAge } from '../view/format.ts'
import { WORKER_LOOK } from '../view/status.ts'

/** The state of a host by colour and word, with the age of the last sign of it when it is silent. */
export function HostState({ worker, state, now }: { worker: WorkerRow; state: WorkerView; now: number }) {
  const { label, tone, hint } = WORKER_LOOK[state]
  return (
    <span className={`inline-flex items-center gap-1.5 font-medium whitespace-nowrap ${tone}`} title={hint}>
      <span className="size-2 shrink-0 rounded-full bg-current" aria-hidden />
      {label}
      {(state === 'silent' || state === 'gone') && ` ${formatAge(heartbeatAge(worker, now))}`}
    </span>
  )
}
