import { useNavigate } from '@tanstack/react-router'
import {
  type BulkRequest,
  type CommandAnswer,
  type CommandName,
  OPERATIONS,
  type ReprioritiseRequest,
  type TaskRow,
} from '@taskfleet/protocol'
import { useFleetClient } from '@taskfleet/react'
import { useEffect, useId, useState } from 'react'
import type { z } from 'zod'
import { RequestForm, request } from '../form/request-form.tsx'
import { wireError } from '../live/wire-error.ts'
import { COMMAND_WORDS, groupRefusals, isPossible, resultText, statusCounts } from '../view/commands.ts'
import { countOf, formatCount } from '../view/counts.ts'
import { operationTitle } from '../view/operations.ts'
import { Button } from './button.tsx'
import { Dialog } from './dialog.tsx'
import { ErrorText } from './error-text.tsx'
import { Names } from './names.tsx'
import { Problem } from './notes.tsx'
import { TaskLink } from './task-link.tsx'
import { FEW } from './use-commands.ts'

/** The tasks of a bulk command. */
export type BulkTarget =
  | { kind: 'rows'; tasks: readonly TaskRow[] }
  /** `what` describes them: "matching the filter". */
  | { kind: 'filter'; filter: Record<string, unknown>; what: string }

/** The values that a command's form starts with. The dry run uses them too. */
const DRAFTS: Partial<Record<CommandName, { priority: number }>> = { reprioritise: { priority: 8 } }

/**
 * A command on many tasks. It counts them and asks for a confirmation. Up to 100 tasks are changed at once, and the dialog lists those
 * that were refused. For more it asks to type their number; they become an operation, and its page is shown.
 */
export function BulkDialog({
  command,
  target,
  onClose,
  onDone,
}: {
  command: CommandName
  target: BulkTarget
  onClose: () => void
  /** Called after the command, also when some tasks were refused. */
  onDone?: () => void
}) {
  const client = useFleetClient()
  const navigate = useNavigate()
  // The tasks that were selected when the dialog opened, even if the list changes since.
  const [{ selection, left }] = useState(() => selectionOf(command, target))
  const [counted, setCounted] = useState<{ matched?: number; problem?: string }>({})
  const [answer, setAnswer] = useState<CommandAnswer>()
  const [typed, setTyped] = useState('')
  const { matched = 0, problem } = counted
  const isMany = matched > FEW
  const words = COMMAND_WORDS[command]

  useEffect(() => {
    let mine = true
    const isNone = 'ids' in selection && selection.ids.length === 0
    const count = isNone ? { matched: 0 } : client.tasks[command]({ ...selection, ...DRAFTS[command], dryRun: true })
    Promise.resolve(count).then(
      (found) => mine && setCounted({ matched: found.matched }),
      (thrown: unknown) => mine && setCounted({ problem: wireError(thrown).message }),
    )
    return () => {
      mine = false
    }
  }, [client, command, selection])

  const run = request(OPERATIONS.tasks[command].request as z.ZodType<ReprioritiseRequest>, async (wanted) => {
    if (isMany) {
      const started = await client.bulk.start({ command, ...wanted } as BulkRequest).catch(unlessOlder)
      if (started !== undefined) {
        onDone?.()
        await navigate({ to: '/operations/$id', params: { id: started._id } })
        return `Started: ${operationTitle(started)}`
      }
    }
    const result = await client.tasks[command](wanted)
    onDone?.()
    if (result.refused.length > 0) {
      setAnswer(result)
      return 'stay'
    }
    const undo = command === 'reprioritise' ? earlierPriorities(target, wanted) : undefined
    return { text: resultText(command, result), ...(undo !== undefined && { undo }) }
  })

  /** Undefined if they are not known. A position can't be taken back. */
  function earlierPriorities(of: BulkTarget, { position }: ReprioritiseRequest): (() => Promise<string>) | undefined {
    if (of.kind === 'filter' || position !== undefined) return undefined
    const tasks = of.tasks.filter((task) => isPossible(command, task))
    const groups = new Map<number, string[]>()
    for (const { _id, priority, basePriority = priority } of tasks)
      groups.set(basePriority, [...(groups.get(basePriority) ?? []), _id])
    return async () => {
      let changed = 0
      for (const [priority, ids] of groups) changed += (await client.tasks.reprioritise({ ids, priority })).changed
      onDone?.()
      return `${countOf(changed, 'task')} with the earlier priority again`
    }
  }

  if (answer !== undefined) {
    return (
      <Dialog title={`${words.label}: result`} onClose={onClose}>
        <Result command={command} answer={answer} />
        <div className="mt-4 flex justify-end">
          <Button look="solid" onClick={onClose}>
            Close
          </Button>
        </div>
      </Dialog>
    )
  }

  const what = target.kind === 'rows' ? 'that are selected' : target.what
  return (
    <RequestForm
      title={`${words.asks} ${target.kind === 'rows' ? 'the selected tasks' : 'all matching tasks'}?`}
      action={matched === 0 ? words.label : `${words.asks} ${countOf(matched, 'task')}`}
      request={run}
      value={DRAFTS[command] ?? {}}
      known={selection}
      places={{ priority: {}, position: {}, reason: { label: 'Reason (optional)', hint: '', span: 6 } }}
      hide={['id', 'ids', 'filter', 'dryRun', 'input', ...(words.reason ? [] : ['reason'])]}
      blocked={matched === 0 || (isMany && !isNumber(typed, matched))}
      danger={command === 'cancel'}
      keep="Leave them"
      note={isMany && <TypedNumber number={matched} typed={typed} onType={setTyped} />}
      onClose={onClose}
    >
      <div className="min-h-10 sm:col-span-6" aria-live="polite" data-testid="dry-run">
        {counted.matched === undefined ? (
          problem === undefined && <p className="text-dim">Counting the tasks {what}…</p>
        ) : matched === 0 ? (
          <p>
            None of the tasks {what} can be {words.done}.
          </p>
        ) : (
          <>
            <p>
              <strong className="font-semibold">{countOf(matched, 'task')}</strong> {what} will be {words.done}.
            </p>
            <p className="text-dim">{words.means}</p>
          </>
        )}
        {left.length > 0 && (
          <p className="mt-1 text-dim">
            These can’t be {words.done} and are left out: {statusCounts(left)}.
          </p>
        )}
        <Problem text={problem} />
      </div>
    </RequestForm>
  )
}

/** Whether a text is this number, with or without its separators. */
const isNumber = (text: string, number: number): boolean => text.replace(/[\s,]/g, '') === String(number)

/** Asks to type the number of the tasks, so that nobody changes thousands by one click too many. */
function TypedNumber({ number, typed, onType }: { number: number; typed: string; onType: (text: string) => void }) {
  const id = useId()
  return (
    <div className="text-[13px] text-text">
      <label htmlFor={id}>
        To confirm, type the number of tasks: <strong className="font-semibold">{formatCount(number)}</strong>
      </label>
      <input
        id={id}
        className="field mt-1 block w-40"
        inputMode="numeric"
        autoComplete="off"
        maxLength={20}
        value={typed}
        onChange={(event) => onType(event.target.value)}
      />
    </div>
  )
}

/** A gateway of an earlier version has no operations. */
function unlessOlder(thrown: unknown): undefined {
  if (wireError(thrown).code !== 'UNKNOWN_OPERATION') throw thrown
}

type BulkSelection = { ids: string[] } | { filter: Record<string, unknown> }

/** A dry run counts all ids, so tasks that the command cannot change are left out here. */
function selectionOf(command: CommandName, target: BulkTarget): { selection: BulkSelection; left: readonly TaskRow[] } {
  if (target.kind === 'filter') return { selection: { filter: target.filter }, left: [] }
  const able = target.tasks.filter((task) => isPossible(command, task))
  return {
    selection: { ids: able.map(({ _id }) => _id) },
    left: target.tasks.filter((task) => !able.includes(task)),
  }
}

function Result({ command, answer }: { command: CommandName; answer: CommandAnswer }) {
  return (
    <div role="status" data-testid="bulk-result">
      <p>
        {resultText(command, answer)}, <span className="text-bad">{answer.refused.length} refused</span>.
      </p>
      <ul className="mt-2 flex max-h-72 flex-col gap-2 overflow-auto">
        {groupRefusals(answer.refused).map(({ code, message, ids }) => (
          <li key={`${code} ${message}`} className="rounded-md bg-raised/60 px-3 py-2">
            <p>
              <span className="font-semibold">{ids.length}×</span> <ErrorText error={{ code, message }} max={240} />
            </p>
            <p className="mt-0.5 text-xs">
              <Names names={ids} most={5}>
                {(id) => <TaskLink id={id} />}
              </Names>
            </p>
          </li>
        ))}
      </ul>
    </div>
  )
}
