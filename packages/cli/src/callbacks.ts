import type { CallbackRow } from '@taskfleet/protocol'
import type { CommandKit } from './kit.ts'
import { operationCommand } from './operation-commands.ts'
import { printableJson } from './text.ts'

const nested = ['defaults']
const flags = { version: { flag: '--task-version <n>' } }

export function callbackCommands(kit: CommandKit): void {
  operationCommand(kit, 'callbacks', 'list', {
    summary: 'list callbacks',
    defaults: { limit: 1_000 },
    columns: {
      ID: (callback) => callback._id,
      EVENT: (callback) => callback.event,
      TASK: ({ task, version }) => `${task}@${version}`,
      QUEUE: ({ defaults }) => defaults.queue ?? 'default',
      DEFAULTS: defaultsText,
    },
  })
  operationCommand(kit, 'callbacks', 'create', {
    summary: 'run a task at every event of a name; prints the id of the callback',
    arguments: { '<event>': 'event', '<task>': 'task' },
    ...{ nested, flags },
    hide: ['_id'],
    text: ({ _id }) => _id,
  })
  operationCommand(kit, 'callbacks', 'edit', {
    ...{ nested, flags },
    // Defaults that are not given stay as they are.
    async call({ callbacks }, { id, changes, rev }) {
      const before = await callbacks.show({ id })
      const defaults = { ...before.defaults, ...changes.defaults }
      return callbacks.edit({ id, changes: { ...changes, defaults }, rev: rev ?? before.rev })
    },
    text: ({ _id, rev }) => `${_id}  changed, now at revision ${rev}`,
  })
}

function defaultsText({ defaults: { queue: _, ...rest } }: CallbackRow): string {
  return Object.keys(rest).length === 0 ? '' : printableJson(rest)
}
