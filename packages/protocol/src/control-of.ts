import type { FleetControl } from './fleet-control.ts'
import type { FleetOperations } from './operations.ts'

/** The operations under the names that they had before the table, which sockets and programs go on using. */
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
    controlQueue: ({ queue, action, reason }) =>
      queues[action]({ name: queue, ...(reason === undefined ? {} : { reason }) }),
  }
}
