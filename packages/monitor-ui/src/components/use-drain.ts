import type { WorkerRow } from '@taskfleet/protocol'
import { useFleetClient } from '@taskfleet/react'
import type { ToastText } from '../shell/ui-store.ts'
import { countOf } from '../view/counts.ts'
import { visibleLine } from '../view/text.ts'

export type DrainAction = 'drain' | 'resume'

/** Drains or resumes hosts at once; its toast takes that back. Running tasks go on in any case. */
export function useDrain() {
  const client = useFleetClient()
  return async function drain(action: DrainAction, hosts: readonly WorkerRow[]): Promise<ToastText> {
    const results = await Promise.allSettled(hosts.map(({ _id }) => client.workers[action]({ worker: _id })))
    const refused = results.find((result) => result.status === 'rejected')
    if (refused !== undefined) throw refused.reason
    const [only] = hosts
    const one = hosts.length === 1 && only !== undefined
    const subject = one ? `${visibleLine(only.name, 60)} accepts` : `${countOf(hosts.length, 'host')} accept`
    const undo = () => drain(action === 'drain' ? 'resume' : 'drain', hosts)
    return { text: `${subject} ${action === 'drain' ? 'no new tasks' : 'tasks again'}`, undo }
  }
}
