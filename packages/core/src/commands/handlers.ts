import { FleetError, type OperationHandlers as Handlers } from '@taskfleet/protocol'
import type { Principal } from '../auth/key-store.ts'
import type { Fleet } from '../fleet.ts'
import { EventCommands } from './event-commands.ts'
import { FleetCommands } from './fleet-commands.ts'
import { KeyCommands } from './key-commands.ts'
import { listQueues } from './list-queues.ts'
import { ReportCommands } from './report-commands.ts'
import { ScheduleCommands, type ScheduleRequest } from './schedule-commands.ts'
import { checkTasks, storeTasks } from './store-tasks.ts'
import { UpkeepCommands } from './upkeep-commands.ts'

/** What each operation does. The compiler sees that none is missing; the dispatcher has checked scope and shape before. */
export function handlersFor(fleet: Fleet, principal: Principal): Handlers {
  const tasks = new FleetCommands(fleet, principal)
  const events = new EventCommands(fleet, principal)
  const schedules = new ScheduleCommands(fleet, principal)
  const keys = new KeyCommands(fleet, principal)
  const reports = new ReportCommands(fleet, principal)
  const upkeep = new UpkeepCommands(fleet, principal)
  return {
    tasks: {
      enqueue: (request) => tasks.enqueue(request),
      enqueueMany: async ({ tasks }) =>
        (await storeTasks(fleet, principal, checkTasks(principal, listOf(tasks)))).tasks,
      show: ({ id }) => tasks.show(id),
      cancel: (request) => tasks.cancel(request),
      pause: (request) => tasks.pause(request),
      resume: (request) => tasks.resume(request),
      retry: (request) => tasks.retry(request),
      replay: (request) => tasks.replay(request),
      reprioritise: (request) => tasks.reprioritise(request),
      edit: (request) => tasks.edit(request),
      remove: ({ id }) => tasks.remove(id),
      explain: ({ id }) => tasks.explain(id),
      log: (request) => tasks.taskLog(request),
      coverage: () => tasks.coverage(),
    },
    events: {
      post: (request) => events.post(request),
      list: (request) => events.list(request),
      show: ({ id }) => events.show(id),
      edit: ({ id, changes }) => events.edit(id, changes),
      cancel: ({ id, reason }) => events.cancel(id, reason),
      remove: ({ id }) => events.remove(id),
    },
    callbacks: {
      create: (request) => events.createCallback(request),
      list: (request) => events.listCallbacks(request),
      show: ({ id }) => events.showCallback(id),
      edit: ({ id, changes, rev }) => events.editCallback(id, changes, rev),
      remove: ({ id }) => events.removeCallback(id),
    },
    schedules: {
      create: (request) => schedules.create(request as ScheduleRequest),
      list: (request) => schedules.list(request),
      show: ({ name }) => schedules.show(name),
      edit: ({ name, changes, edition }) => schedules.edit(name, changes, edition),
      pause: ({ name, reason }) => schedules.pause(name, reason),
      resume: ({ name, reason }) => schedules.resume(name, reason),
      run: ({ name, reason }) => schedules.run(name, reason),
      remove: ({ name }) => schedules.remove(name),
      preview: async ({ count, ...timing }) => schedules.preview(timing, count),
    },
    queues: {
      list: () => listQueues(fleet, principal),
      pause: ({ name, reason }) => tasks.controlQueue({ queue: name, action: 'pause', ...because(reason) }),
      resume: ({ name, reason }) => tasks.controlQueue({ queue: name, action: 'resume', ...because(reason) }),
      limit: ({ name, limits }) => tasks.limitQueue(name, limits),
    },
    workers: {
      list: () => reports.workers(),
      drain: async ({ worker }) => {
        await tasks.controlWorker({ worker, action: 'drain' })
        return reports.worker(worker)
      },
      resume: async ({ worker }) => {
        await tasks.controlWorker({ worker, action: 'resume' })
        return reports.worker(worker)
      },
    },
    errors: {
      list: (request) => reports.errors(request),
      mark: (request) => tasks.markError(request),
    },
    keys: {
      list: () => keys.list(),
      show: ({ id }) => keys.show(id),
      create: (request) => keys.create(request),
      edit: ({ id, changes }) => keys.edit(id, changes),
      revoke: ({ id }) => keys.revoke(id),
    },
    retention: {
      show: () => upkeep.retention(),
      set: (changes) => upkeep.setRetention(changes),
      prune: (request) => upkeep.prune(request),
    },
    audit: { list: (request) => tasks.audit(request) },
  }
}

const because = (reason: string | undefined): { reason?: string } => (reason === undefined ? {} : { reason })

/** @throws {FleetError} `BAD_REQUEST` */
function listOf(tasks: unknown): readonly unknown[] {
  if (Array.isArray(tasks)) return tasks
  throw new FleetError('BAD_REQUEST', "'tasks' is a list of tasks", { field: 'tasks' })
}
