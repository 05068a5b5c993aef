import { asError, type TaskDocument, type WorkerDocument } from '@taskfleet/core'
import { asSeenFrom, type Change, type FeedListener, type QueueDocument } from '@taskfleet/core/internal'
import type { Worker } from './worker.ts'

/** Passes each change of the feed to the part of the worker that it concerns. */
export function changesOf(worker: Worker): FeedListener {
  return {
    change: ({ collection, id, doc }: Change) => {
      if (collection === 'tasks') onTask(worker, String(id), doc as TaskDocument | null)
      else if (collection === 'queues') worker.queues.changed(String(id), doc as QueueDocument | null)
      else if (collection === 'workers' && id === worker.session.id) onSelf(worker, doc as WorkerDocument | null)
    },
    lost: () => {
      worker.queues.lost()
      worker.deadlines.lost()
      void worker.loop.lost()
    },
  }
}

/** A request that another process passes on is looked up before it is carried out. */
function onSelf(worker: Worker, doc: WorkerDocument | null): void {
  const { feed, sessions, settings } = worker
  if (feed.isDirect) worker.obey(doc?.control)
  else if ((doc?.control?.action === 'drain') !== (worker.state === 'draining')) {
    sessions.beat().catch((error: unknown) => settings.log.warn({ err: asError(error) }, 'a heartbeat failed'))
  }
}

function onTask(worker: Worker, id: string, task: TaskDocument | null): void {
  const { fleet, queues, deadlines, loop, places, running } = worker
  // The document watch ends invalid tasks, so they are skipped here.
  if (task !== null && !fleet.gate.isReadable('tasks', task)) {
    loop.remove(id)
    return
  }
  if (task?.raiseAt !== undefined) deadlines.expect(task.raiseAt)
  queues.limits.seen(id, task)
  if (task?.status === 'pending' && task.runAt instanceof Date) loop.offer(asSeenFrom(places.all, task))
  else loop.remove(id)
  const run = running.get(id)
  if (worker.feed.isDirect) onAttempt(worker, id, task)
  else if (
    run === undefined ? hasControl(worker, task) : task?.lease?.id !== run.leaseId || task.control !== undefined
  ) {
    worker.underWay.add(lookUp(worker, run?.claim.task._id ?? task!._id))
  }
}

function onAttempt(worker: Worker, id: string, task: TaskDocument | null): void {
  worker.running.check(id, task)
  if (hasControl(worker, task)) worker.running.obey(id, task.control)
}

/** Whether an attempt of this worker is to be cancelled or paused. Its claim may not have been answered yet. */
const hasControl = ({ session }: Worker, task: TaskDocument | null): task is ControlledTask =>
  task?.status === 'running' && task.worker === session.id && task.control !== undefined

type ControlledTask = TaskDocument & { control: NonNullable<TaskDocument['control']> }

/** What another process has passed on may be wrong, and must neither end nor stop an attempt. */
async function lookUp(worker: Worker, id: TaskDocument['_id']): Promise<void> {
  onAttempt(worker, id.toHexString(), await worker.fleet.store.find(id))
}
