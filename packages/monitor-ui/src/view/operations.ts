import type { BulkRow } from '@taskfleet/protocol'
import { COMMAND_WORDS } from './commands.ts'
import { countOf } from './counts.ts'

/** What is left to undo, as the label of a button; undefined if there is nothing. */
export function undoOf(bulk: BulkRow, now: number): string | undefined {
  const { undoUntil, undoneBy, endedAt, command, changed } = bulk
  if (undoUntil === undefined || undoneBy !== undefined || endedAt === undefined || changed === 0) return undefined
  if (Date.parse(undoUntil) <= now) return undefined
  const tasks = countOf(changed, 'task')
  if (command === 'reprioritise') return `Undo: earlier priority for ${tasks}`
  return `Undo: ${command === 'pause' ? 'resume' : 'pause'} ${tasks}`
}

/** `Cancel 2,000 tasks`. */
export function operationTitle({
  command,
  matched,
  priority,
}: Pick<BulkRow, 'command' | 'matched' | 'priority'>): string {
  const words = COMMAND_WORDS[command]
  return `${words.asks} ${countOf(matched, 'task')}${priority === undefined ? '' : ` to ${priority}`}`
}

/** The tasks that are done, 0 to 1. */
export function ratioOf({ matched, changed, unchanged, refused }: BulkRow): number {
  return matched === 0 ? 1 : Math.min(1, (changed + unchanged + refused) / matched)
}
