import { COMMANDS, type CommandName, type TaskRow } from '@taskfleet/protocol'
import { COMMAND_WORDS, isPossible } from '../view/commands.ts'
import { formatCount } from '../view/counts.ts'
import type { BulkTarget } from './bulk-dialog.tsx'
import { Button, LinkButton } from './button.tsx'

interface Props {
  /** The selected rows of the list. */
  chosen: readonly TaskRow[]
  /** Whether every task that matches the filter is selected, in the list or not. */
  all: boolean
  /** Whether more tasks match than the list has. */
  more: boolean
  filter: Record<string, unknown>
  /** A command is on its way. */
  busy: boolean
  onAll: () => void
  onNone: () => void
  onCommand: (command: CommandName, target: BulkTarget) => void
}

/** The commands for the selected rows. It is below the list, so no row moves when it appears. */
export function BulkBar({ chosen, all, more, filter, busy, onAll, onNone, onCommand }: Props) {
  const target: BulkTarget = all
    ? { kind: 'filter', filter, what: 'matching the filter' }
    : { kind: 'rows', tasks: chosen }
  const number = formatCount(chosen.length)
  return (
    <>
      <p role="status" className="font-medium text-text">
        {all ? `All ${number}${more ? '+' : ''} matching tasks are selected` : `${number} selected`}
      </p>
      {!all && (
        <LinkButton className="p-1" onClick={onAll}>
          {more ? 'Select all tasks matching the filter' : 'Select all matching tasks'}
        </LinkButton>
      )}
      <LinkButton className="p-1" onClick={onNone}>
        Clear selection
      </LinkButton>
      <div role="group" aria-label="For the selected tasks" className="flex flex-wrap gap-1.5 sm:ml-auto">
        {COMMANDS.map((command) => {
          const { icon, label, done } = COMMAND_WORDS[command]
          // Of all that match, only the gateway knows it.
          const able = all ? undefined : chosen.filter((task) => isPossible(command, task)).length
          return (
            <Button
              key={command}
              icon={icon}
              disabled={busy}
              {...(able !== undefined && { title: `${formatCount(able)} of ${number} can be ${done}` })}
              {...(command === 'cancel' ? { look: 'bad' } : { className: 'text-text' })}
              onClick={() => onCommand(command, target)}
            >
              {label}
              {command === 'reprioritise' && '…'}
              {able !== undefined && (
                <span aria-hidden className={able === 0 ? 'text-dim' : 'font-semibold'}>
                  {formatCount(able)}
                </span>
              )}
            </Button>
          )
        })}
      </div>
    </>
  )
}
