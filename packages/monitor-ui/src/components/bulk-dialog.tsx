import { Link } from '@tanstack/react-router'
import type { CommandAnswer, CommandName, TaskChanges, TaskRow } from '@taskfleet/protocol'
import { useFleetClient } from '@taskfleet/react'
import { useEffect, useMemo, useState } from 'react'
import { wireError } from '../live/wire-error.ts'
import { useUi } from '../shell/ui-context.ts'
import { COMMAND_WORDS, countTasks, groupRefusals, isPossible, statusCounts } from '../view/commands.ts'
import { Dialog } from './dialog.tsx'
import { Foreign } from './foreign.tsx'
import { Problem } from './notes.tsx'
import { PriorityOptions } from './priority-options.tsx'
import { ReasonField } from './reason-field.tsx'
import { useAct } from './use-act.ts'

/** The tasks that a command on many is about. */
export type BulkTarget =
  | { kind: 'rows'; tasks: readonly TaskRow[] }
  /** `what` says it in words: "that match the filter". */
  | { kind: 'filter'; filter: Record<string, unknown>; what: string }

type Position = '' | 'front' | 'back'

interface Props {
  command: CommandName
  target: BulkTarget
  onClose: () => void
  /** It was done, to all or to some. */
  onDone?: () => void
}

/** A command on many tasks: counted first, done when confirmed, and then said what came of it. */
export function BulkDialog({ command, target, onClose, onDone }: Props) {
  const client = useFleetClient()
  const toast = useUi((ui) => ui.toast)
  // What is meant is what was chosen when the dialog opened, whatever happens to the list behind it.
  const [{ selection, left }] = useState(() => selectionOf(command, target))
  const [matched, setMatched] = useState<number>()
  const [answer, setAnswer] = useState<CommandAnswer>()
  const [reason, setReason] = useState('')
  const [priority, setPriority] = useState('8')
  const [position, setPosition] = useState<Position>('')
  const { busy, problem, setProblem, act } = useAct()
  const words = COMMAND_WORDS[command]

  const send = useMemo(
    () => (dryRun: boolean, options: { reason: string; priority: string; position: Position }) => {
      const why = options.reason.trim()
      const request = { ...selection, ...(dryRun && { dryRun }), ...(why !== '' && { reason: why }) }
      if (command !== 'reprioritise') return client.tasks[command](request)
      const place: Pick<TaskChanges, 'position'> = options.position === '' ? {} : { position: options.position }
      return client.tasks.reprioritise({ ...request, priority: Number(options.priority), ...place })
    },
    [client, command, selection],
  )

  useEffect(() => {
    let mine = true
    if ('ids' in selection && selection.ids.length === 0) {
      setMatched(0)
      return
    }
    send(true, { reason: '', priority: '8', position: '' }).then(
      (counted) => {
        if (mine) setMatched(counted.matched)
      },
      (thrown: unknown) => {
        if (mine) setProblem(wireError(thrown).message)
      },
    )
    return () => {
      mine = false
    }
  }, [send, selection, setProblem])

  const run = async () => {
    const result = await send(false, { reason, priority, position })
    onDone?.()
    if (result.refused.length > 0) return setAnswer(result)
    toast({ kind: 'good', text: resultText(command, result) })
    onClose()
  }

  if (answer !== undefined) {
    return (
      <Dialog title={`${words.label}: what came of it`} onClose={onClose}>
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
    <Dialog title={`${words.asks} ${target.kind === 'rows' ? 'the selected tasks' : 'all of them'}?`} onClose={onClose}>
      <form
        onSubmit={(event) => {
          event.preventDefault()
          if (!busy && matched !== undefined && matched > 0) act(run)
        }}
      >
        <div className="mb-3 min-h-10" aria-live="polite" data-testid="dry-run">
          {matched === undefined ? (
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
        </div>
        {command === 'reprioritise' && (
          <div className="mb-4 grid grid-cols-2 gap-3">
            <label className="block">
              <span className="mb-1 block font-medium">Priority</span>
              <select className="field w-full" value={priority} onChange={(event) => setPriority(event.target.value)}>
                <PriorityOptions />
              </select>
            </label>
            <label className="block">
              <span className="mb-1 block font-medium">Position</span>
              <select
                className="field w-full"
                value={position}
                onChange={(event) => setPosition(event.target.value as Position)}
              >
                <option value="">As it is</option>
                <option value="front">To the front</option>
                <option value="back">To the back</option>
              </select>
            </label>
          </div>
        )}
        {words.reason && <ReasonField value={reason} onChange={setReason} />}
        <Problem text={problem} className="mb-3" />
        <div className="flex flex-wrap justify-end gap-2">
          <button type="button" className="button" onClick={onClose}>
            Leave them
          </button>
          <button
            type="submit"
            className={`button ${command === 'cancel' ? 'button-bad' : 'button-solid'}`}
            disabled={busy || matched === undefined || matched === 0}
          >
            {matched === undefined || matched === 0 ? words.label : buttonText(command, matched)}
          </button>
        </div>
      </form>
    </Dialog>
  )
}

function buttonText(command: CommandName, count: number): string {
  return `${COMMAND_WORDS[command].asks} ${countTasks(count)}`
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
