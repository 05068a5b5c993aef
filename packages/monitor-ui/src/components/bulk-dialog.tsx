import { Link } from '@tanstack/react-router'
import {
  type CommandAnswer,
  type CommandName,
  OPERATIONS,
  type ReprioritiseRequest,
  type TaskRow,
} from '@taskfleet/protocol'
import { useFleetClient } from '@taskfleet/react'
import { useEffect, useState } from 'react'
import type { z } from 'zod'
import { RequestForm, request } from '../form/request-form.tsx'
import { wireError } from '../live/wire-error.ts'
import { useUi } from '../shell/ui-context.ts'
import { COMMAND_WORDS, countTasks, groupRefusals, isPossible, statusCounts } from '../view/commands.ts'
import { Dialog } from './dialog.tsx'
import { Foreign } from './foreign.tsx'
import { Problem } from './notes.tsx'

/** The tasks that a command on many is about. */
export type BulkTarget =
  | { kind: 'rows'; tasks: readonly TaskRow[] }
  /** `what` says it in words: "that match the filter". */
  | { kind: 'filter'; filter: Record<string, unknown>; what: string }

/** What a command's form begins with, and is counted with. */
const DRAFTS: Partial<Record<CommandName, { priority: number }>> = { reprioritise: { priority: 8 } }

/** A command on many tasks: counted first, done when confirmed, with a result if some were refused. */
export function BulkDialog({
  command,
  target,
  onClose,
  onDone,
}: {
  command: CommandName
  target: BulkTarget
  onClose: () => void
  /** It was done, to all or to some. */
  onDone?: () => void
}) {
  const client = useFleetClient()
  const toast = useUi((ui) => ui.toast)
  // The tasks chosen when the dialog opened, whatever happens to the list behind it.
  const [{ selection, left }] = useState(() => selectionOf(command, target))
  const [counted, setCounted] = useState<{ matched?: number; problem?: string }>({})
  const [answer, setAnswer] = useState<CommandAnswer>()
  const { matched = 0, problem } = counted
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
    const result = await client.tasks[command](wanted)
    onDone?.()
    if (result.refused.length > 0) {
      setAnswer(result)
      return 'stay'
    }
    toast({ kind: 'good', text: resultText(command, result) })
  })

  if (answer !== undefined) {
    return (
      <Dialog title={`${words.label}: result`} onClose={onClose}>
        <Result command={command} answer={answer} />
        <div className="mt-4 flex justify-end">
          <button type="button" className="button button-solid" onClick={onClose}>
            Close
          </button>
        </div>
      </Dialog>
    )
  }

  const what = target.kind === 'rows' ? 'that are selected' : target.what
  return (
    <RequestForm
      title={`${words.asks} ${target.kind === 'rows' ? 'the selected tasks' : 'all of them'}?`}
      action={matched === 0 ? words.label : `${words.asks} ${countTasks(matched)}`}
      request={run}
      value={DRAFTS[command] ?? {}}
      known={selection}
      places={{ priority: {}, position: {}, reason: { label: 'Reason (optional)', hint: '', span: 6 } }}
      hide={['id', 'ids', 'filter', 'dryRun', 'input', ...(words.reason ? [] : ['reason'])]}
      blocked={matched === 0}
      danger={command === 'cancel'}
      keep="Leave them"
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
              <strong className="font-semibold">{countTasks(matched)}</strong> {what} will be {words.done}.
            </p>
            <p className="text-dim">{words.means}</p>
          </>
        )}
        {left.length > 0 && (
          <p className="mt-1 text-dim">
            Left out, since they can’t be {words.done}: {statusCounts(left)}.
          </p>
        )}
        <Problem text={problem} />
      </div>
    </RequestForm>
  )
}

type BulkSelection = { ids: string[] } | { filter: Record<string, unknown> }

/** A dry run counts ids whatever their status, so those that nothing can be done about are left out here. */
function selectionOf(command: CommandName, target: BulkTarget): { selection: BulkSelection; left: readonly TaskRow[] } {
  if (target.kind === 'filter') return { selection: { filter: target.filter }, left: [] }
  const able = target.tasks.filter((task) => isPossible(command, task))
  return {
    selection: { ids: able.map(({ _id }) => _id) },
    left: target.tasks.filter((task) => !able.includes(task)),
  }
}

/** `3 tasks cancelled`, with those that needed nothing. */
function resultText(command: CommandName, { matched, changed, refused }: CommandAnswer): string {
  const { done } = COMMAND_WORDS[command]
  const already = matched - changed - refused.length
  const text = `${countTasks(changed)} ${done}`
  return already > 0 ? `${text}; ${already.toLocaleString('en')} needed nothing` : text
}

const SHOWN = 5

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
              <span className="font-semibold">{ids.length}×</span> <Foreign text={message} max={240} />{' '}
              <span className="font-mono text-xs text-dim">
                <Foreign text={code} max={40} />
              </span>
            </p>
            <p className="mt-0.5 flex flex-wrap gap-x-3 font-mono text-xs">
              {ids.slice(0, SHOWN).map((id) => (
                <Link key={id} to="/tasks/$id" params={{ id }} className="text-run hover:underline">
                  {id}
                </Link>
              ))}
              {ids.length > SHOWN && <span className="text-dim">and {ids.length - SHOWN} more</span>}
            </p>
          </li>
        ))}
      </ul>
    </div>
  )
}
