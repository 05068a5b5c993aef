import { COMMANDS, type CommandName, type TaskRow } from '@taskfleet/protocol'
import { COMMAND_WORDS } from '../view/commands.ts'
import type { BulkTarget } from './bulk-dialog.tsx'

interface Props {
  /** The selected rows among those that are drawn. */
  chosen: readonly TaskRow[]
  /** Whether all that match are meant, drawn or not. */
  all: boolean
  /** Whether more match than are drawn. */
  more: boolean
  filter: Record<string, unknown>
  onAll: () => void
  onNone: () => void
  onCommand: (command: CommandName, target: BulkTarget) => void
}

/** What can be done to the selected rows. It stands below the list, so that no row moves when it comes. */
export function BulkBar({ chosen, all, more, filter, onAll, onNone, onCommand }: Props) {
  const target: BulkTarget = all
    ? { kind: 'filter', filter, what: 'that match the filter' }
    : { kind: 'rows', tasks: chosen }
  const number = chosen.length.toLocaleString('en')
  const link = 'rounded px-1 py-1 font-medium text-run hover:underline'
  return (
    <>
      <p role="status" className="font-medium text-text">
        {all ? `All ${number}${more ? '+' : ''} that match are selected` : `${number} selected`}
      </p>
      {!all && (
        <button type="button" className={link} onClick={onAll}>
          {more ? 'Select all that match the filter' : 'Select all that match'}
        </button>
      )}
      <button type="button" className={link} onClick={onNone}>
        Select none
      </button>
      <div role="group" aria-label="For the selected tasks" className="flex flex-wrap gap-1.5 sm:ml-auto">
        {COMMANDS.map((command) => {
          const { icon: Icon, label } = COMMAND_WORDS[command]
          return (
            <button
              key={command}
              type="button"
              className={`button ${command === 'cancel' ? 'button-bad' : 'text-text'}`}
              onClick={() => onCommand(command, target)}
            >
              <Icon size={14} aria-hidden /> {label}
              {command === 'reprioritise' && '…'}
            </button>
          )
        })}
      </div>
    </>
  )
}
