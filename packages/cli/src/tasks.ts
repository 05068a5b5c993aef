import { compileQuery, parseNewTask } from '@taskfleet/core/internal'
import { FleetError, STATUSES } from '@taskfleet/protocol'
import { given } from '@taskfleet/protocol/internal'
import { Option } from 'commander'
import type { CommandKit } from './kit.ts'
import { operationCommand } from './operation-commands.ts'
import { listChoices } from './request-options.ts'
import { progressText } from './text.ts'

/** The choices of `position` as flags. */
export const POSITION = {
  values: {
    front: 'before all waiting tasks with the same priority',
    back: 'after all waiting tasks with the same priority',
  },
}

export function storedTaskCommands(kit: CommandKit): void {
  operationCommand(kit, 'tasks', 'enqueue', {
    summary: 'store a task; prints its id',
    arguments: { '<name>': 'name', '[json]': 'input' },
    hide: ['_id'],
    flags: { version: { flag: '--task-version <n>' }, position: POSITION },
    prepare(request) {
      refuseGatewayKey(request.key)
      return { ...request, _id: parseNewTask(request)._id.toHexString() }
    },
    text: ({ _id }) => _id,
    warning: ({ served, name, version, queue }) =>
      served === false
        ? `no live worker serves '${name}' version ${version} in the queue '${queue}' yet; the task waits`
        : undefined,
  })
  const list = operationCommand(kit, 'tasks', 'list', {
    summary: 'list tasks, the newest first',
    hide: ['sort', 'fields', 'cursor'],
    defaults: { limit: 50 },
    prepare({ filter, limit }, { status, name }) {
      const named = given({ status: status && { $in: status }, name })
      const query = { filter: filter === undefined ? named : { ...named, $and: [filter] }, limit: limit! }
      compileQuery({ collection: 'tasks', ...query })
      return query
    },
    call: (_, { filter = {}, limit }, { view }) =>
      view.rows({ collection: 'tasks', filter, sort: { _id: -1 }, limit: limit! }),
    columns: {
      ID: (task) => task._id,
      STATUS: (task) => task.status,
      NAME: (task) => task.name,
      TITLE: (task) => task.title,
      QUEUE: (task) => task.queue,
      PRIORITY: (task) => task.priority,
      ATTEMPT: (task) => task.attempt,
      HOST: (task) => task.host,
      PROGRESS: progressText,
    },
  })
  list
    .addOption(listChoices(new Option('--status <names>', 'only tasks with these statuses'), STATUSES))
    .option('--name <name>', 'only tasks of this name')
  operationCommand(kit, 'tasks', 'show', { summary: 'show one task with all its fields' })
}

/** Rejects a gateway's key, which must not be stored as a task's key by mistake. */
const GATEWAY_KEY = /^tf_[0-9a-f]{12}_/

/** @throws {FleetError} `BAD_REQUEST` */
function refuseGatewayKey(key: string | undefined): void {
  if (key === undefined || !GATEWAY_KEY.test(key)) return
  const remedy = "give a gateway's key by --server-key, TASKFLEET_KEY or --key-file"
  throw new FleetError('BAD_REQUEST', `'--key' is the unique key of the task: ${remedy}`)
}
