import type { TaskDocument, WorkerDocument } from '@taskfleet/core'
import type { Change, FeedListener, QueueDocument } from '@taskfleet/core/internal'
import type { Worker } from './worker.ts'

/** Passes each change of the feed to the part of the worker that it concerns. */
export function changesOf(worker: Worker): FeedListener {
  return {
    change: ({ collection, id, doc }: Change) => {
      if (collection === 'tasks') onTask(worker, String(id), doc as TaskDocument | null)
      else if (collection === 'queues') worker.queues.changed(String(id), doc as QueueDocument | null)
      else if (collection === 'workers' && id === worker.session.id)
        worker.obey((doc as WorkerDocument | null)?.control)
    },
    lost: () => {
      worker.queues.lost()
      void worker.loop.lost()
    },
  }
}

function onTask(
  { fleet, queues, deadlines, loop, running, session }: Worker,
  id: string,
  task: TaskDocument | null,
): void {
  // The document watch ends invalid tasks, so they are skipped here.
  if (task !== null && !fleet.gate.isReadable('tasks', task)) {
    loop.remove(id)
    return
  }
  if (task?.raiseAt !== undefined) deadlines.expect(task.raiseAt)
  queues.limits.seen(id, task)
  if (task?.status === 'pending' && task.runAt instanceof Date) loop.offer(task)
  else loop.remove(id)
  running.check(id, task)
  if (task?.status === 'running' && task.worker === session.id && task.control !== undefined)
    running.obey(id, task.control)
}
