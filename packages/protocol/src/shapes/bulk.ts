import { z } from 'zod'
import { COMMANDS } from '../protocol.ts'
import { byCore } from './by-core.ts'
import { position, selection } from './tasks.ts'
import { count, date, hexId, object, priority } from './values.ts'

const command = z.enum(COMMANDS)

export const bulkRequest = z
  .strictObject({
    command: command.describe('What to do with each task'),
    ids: byCore(selection.ids),
    filter: byCore(selection.filter),
    priority: byCore(priority.optional()).describe('Of `reprioritise`'),
    position: byCore(position.optional()).describe('Of `reprioritise`'),
    reason: selection.reason,
  })
  .meta({
    id: 'BulkRequest',
    title: 'A command on many tasks',
    oneOf: [{ required: ['ids'] }, { required: ['filter'] }],
    examples: [{ command: 'cancel', filter: { queue: 'video', status: 'pending' }, reason: 'wrong input' }],
  })

/** A command on many tasks, carried out by a gateway. */
export const bulkRow = object({
  _id: hexId,
  command,
  by: z.string().describe("The key's id, or `local`"),
  reason: z.string().exactOptional(),
  /** JSON, at most 2,000 characters. Absent for tasks that were given by their ids, and for an undo. */
  filter: z.string().exactOptional().describe('JSON, at most 2,000 characters'),
  queues: z.array(z.string()).exactOptional().describe('The queues to which its key is limited'),
  names: z.array(z.string()).exactOptional().describe('The names to which its key is limited'),
  priority: z.int().exactOptional(),
  position: position.exactOptional(),
  state: z.enum(['running', 'stopping', 'stopped', 'completed', 'failed']),
  startedAt: date,
  endedAt: date.exactOptional(),
  stoppedBy: z.string().exactOptional().describe('Who requested to stop it'),
  matched: count.describe('The tasks that were selected at the start'),
  changed: count,
  unchanged: count.describe('Tasks that had the wanted state already'),
  refused: count,
  /** Refused tasks by reason. Up to 20 reasons, each with its first 20 tasks. */
  refusals: z
    .array(object({ code: z.string(), message: z.string(), count, tasks: z.array(hexId) }))
    .describe('Up to 20 reasons, each with its first 20 tasks'),
  error: object({ code: z.string(), message: z.string() }).exactOptional().describe('Why it failed'),
  undoes: hexId.exactOptional().describe('The operation that it undoes'),
  undoneBy: hexId.exactOptional().describe('The operation that undoes it'),
  undoUntil: date.exactOptional().describe('Absent if it can not be undone'),
}).meta({ id: 'Bulk', title: 'A command on many tasks that a gateway carries out' })
