import type { FleetOperations } from './operations.ts'
import type { Explanation, QueueRow } from './protocol.ts'

type Tasks = FleetOperations['tasks']

/** The operations on tasks and a few others, under the names that sockets and programs used before the table of operations. */
export interface FleetControl
  extends Pick<
    Tasks,
    'enqueue' | 'cancel' | 'pause' | 'resume' | 'retry' | 'replay' | 'reprioritise' | 'edit' | 'coverage'
  > {
  explain(id: string): Promise<Explanation>
  taskLog: Tasks['log']
  audit: FleetOperations['audit']['list']
  markError: FleetOperations['errors']['mark']
  controlWorker(request: { worker: string; action: 'drain' | 'resume' }): Promise<void>
  controlQueue(request: { queue: string; action: 'pause' | 'resume'; reason?: string }): Promise<QueueRow>
}

export function controlOf({ tasks, queues, workers, errors, audit }: FleetOperations): FleetControl {
  return {
    enqueue: (request) => tasks.enqueue(request),
    cancel: (request) => tasks.cancel(request),
    pause: (request) => tasks.pause(request),
    resume: (request) => tasks.resume(request),
    retry: (request) => tasks.retry(request),
    replay: (request) => tasks.replay(request),
    reprioritise: (request) => tasks.reprioritise(request),
    edit: (request) => tasks.edit(request),
    explain: (id) => tasks.explain({ id }),
    coverage: () => tasks.coverage(),
    taskLog: (request) => tasks.log(request),
    audit: (request) => audit.list(request),
    markError: (request) => errors.mark(request),
    async controlWorker({ worker, action }) {
      await workers[action]({ worker })
    },
    controlQueue: ({ queue, action, ...reason }) => queues[action]({ name: queue, ...reason }),
  }
}
