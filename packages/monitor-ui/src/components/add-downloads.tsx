import { PRIORITY_NAMES, type QueryRequest } from '@taskfleet/protocol'
import { useConnection, useFleetClient, useLiveQuery } from '@taskfleet/react'
import { Download } from 'lucide-react'
import { type FormEvent, type ReactNode, useId, useState } from 'react'
import { useCan } from '../live/hooks.ts'
import { QUEUES } from '../live/queries.ts'
import { loadLists, type ReadList, useAddressList } from '../live/use-address-list.ts'
import type { ToastText } from '../shell/ui-store.ts'
import { countOf, formatCount } from '../view/counts.ts'
import { storedText } from '../view/downloads.ts'
import { visibleLine, visibleText } from '../view/text.ts'
import { Button, LinkButton } from './button.tsx'
import { Problem } from './notes.tsx'
import { useAct } from './use-act.ts'
import { useDropped } from './use-dropped.ts'

const SHOWN_LINES = 20
const SHOWN_HOSTS = 3

/** Queues a list of addresses: typed, pasted or dropped anywhere on the page. */
export function AddDownloads() {
  const mayWrite = useCan('write')
  if (mayWrite) return <ListForm />
  return (
    <section className="panel px-3 py-2 text-dim" aria-label="Add downloads">
      This key may not add downloads: that needs the scope <span className="font-mono text-text">write</span>.
    </section>
  )
}

type Priority = keyof typeof PRIORITY_NAMES

function ListForm() {
  const client = useFleetClient()
  const { state } = useConnection()
  const { busy, problem, act } = useAct()
  const id = useId()
  const [text, setText] = useState('')
  const [queue, setQueue] = useState('default')
  const [folder, setFolder] = useState('')
  const [priority, setPriority] = useState<Priority>('medium')
  const queues = useLiveQuery(QUEUES).rows
  const { over, failed } = useDropped((dropped) =>
    setText((before) => (before.trim() === '' ? dropped : `${before.replace(/\n*$/, '\n')}${dropped}`)),
  )
  const list = useAddressList(text, folder.trim())
  // What was typed last may not have been read yet.
  const count = list?.text === text && list.folder === folder.trim() ? list.downloads.length : 0
  const isGood =
    count > 0 && list?.bad.length === 0 && [list.problem, list.folderProblem].every((one) => one === undefined)

  const store = async (): Promise<ToastText> => {
    const { enqueueDownloads } = await loadLists()
    const into = folder.trim() === '' ? {} : { folder: folder.trim() }
    const downloads = (list?.downloads ?? []).map(({ input, where }) => ({ where, input: { ...into, ...input } }))
    const wish = { queue: queue.trim() || 'default', priority: PRIORITY_NAMES[priority], again: false }
    const rows = async ({ collection: _, ...query }: QueryRequest) => (await client.tasks.list(query)).tasks
    const stored = await enqueueDownloads(client, { rows }, downloads, wish)
    // The next list may have been begun meanwhile.
    setText((now) => (now === text ? '' : now))
    return storedText(stored)
  }
  const submit = (event: FormEvent) => {
    event.preventDefault()
    if (isGood && !busy) act(store)
  }
  return (
    <form
      aria-label="Add downloads"
      className={`panel dims flex flex-col gap-2 p-3 ${over ? 'bg-tint-open' : ''}`}
      onSubmit={submit}
    >
      <label htmlFor={id} className="heading">
        Add downloads
      </label>
      <textarea
        id={id}
        rows={Math.min(10, Math.max(3, text.split('\n', 11).length))}
        className="field w-full font-mono text-xs"
        placeholder={
          'https://files.example/large.iso\nOne address a line; or drop a link or a .txt file anywhere on this page'
        }
        spellCheck={false}
        autoComplete="off"
        value={text}
        aria-invalid={(list?.bad.length ?? 0) > 0}
        aria-describedby={`${id}-read`}
        onChange={({ target }) => setText(target.value)}
      />
      <div id={`${id}-read`} role="status">
        {over ? <p className="text-run">Drop it to add its addresses.</p> : list !== undefined && <Read list={list} />}
      </div>
      <div className="flex flex-wrap items-end gap-x-3 gap-y-2">
        <Labelled label="Queue" className="sm:w-40">
          <input
            className="field w-full"
            value={queue}
            list={`${id}-queues`}
            autoComplete="off"
            onChange={({ target }) => setQueue(target.value)}
          />
          <datalist id={`${id}-queues`}>
            {queues.map(({ _id }) => (
              <option key={_id} value={_id} />
            ))}
          </datalist>
        </Labelled>
        <Labelled label="Folder" className="sm:w-56">
          <input
            className="field w-full"
            value={folder}
            placeholder="films/2026, below the worker's"
            autoComplete="off"
            aria-invalid={list?.folderProblem !== undefined}
            onChange={({ target }) => setFolder(target.value)}
          />
        </Labelled>
        <Labelled label="Priority" className="sm:w-40">
          <select
            className="field w-full"
            value={priority}
            onChange={({ target }) => setPriority(target.value as Priority)}
          >
            {(Object.keys(PRIORITY_NAMES) as Priority[]).map((name) => (
              <option key={name} value={name}>
                {name[0]!.toUpperCase() + name.slice(1)}
              </option>
            ))}
          </select>
        </Labelled>
        <div className="ml-auto flex items-center gap-3">
          {text !== '' && (
            <LinkButton className="p-1" onClick={() => setText('')}>
              Clear
            </LinkButton>
          )}
          <Button type="submit" icon={Download} disabled={!isGood || busy || state !== 'live'}>
            {busy ? 'Adding…' : count > 1 ? `Add ${countOf(count, 'download')}` : 'Add download'}
          </Button>
        </div>
      </div>
      {list?.folderProblem !== undefined && <Problem text={list.folderProblem} className="" />}
      {state !== 'live' && text !== '' && (
        <p className="text-warn">The gateway is out of reach, so nothing can be added now. The list stays here.</p>
      )}
      <Problem text={failed} className="" />
      {problem !== undefined && (
        <Problem
          text={`${problem} What was stored before stays; adding the same list again stores the rest.`}
          className=""
        />
      )}
    </form>
  )
}

/** What was read of a list: how many addresses of which hosts, or what is wrong with it. */
function Read({ list: { downloads, bad, problem } }: { list: ReadList }) {
  if (problem !== undefined) return <p className="text-bad">{visibleText(problem, 300)}</p>
  if (bad.length > 0) {
    return (
      <div className="text-bad">
        <p className="font-medium">
          {countOf(bad.length, 'line')} can’t be used. Nothing is stored until all are right.
        </p>
        <ul aria-label="Bad lines" className="mt-1 flex flex-col gap-0.5">
          {bad.slice(0, SHOWN_LINES).map(({ line, error }) => (
            <li key={line} data-testid="bad-line" data-line={line}>
              <span className="font-medium">Line {line}:</span> {visibleLine(error.message, 200)}
            </li>
          ))}
        </ul>
        {bad.length > SHOWN_LINES && <p>and {countOf(bad.length - SHOWN_LINES, 'more line')}</p>}
      </div>
    )
  }
  if (downloads.length === 0) return null
  const hosts = [...new Set(downloads.map(({ input }) => new URL(input.url).host))]
  const named = hosts
    .slice(0, SHOWN_HOSTS)
    .map((host) => visibleLine(host, 60))
    .join(', ')
  return (
    <p className="text-dim">
      {formatCount(downloads.length)} {downloads.length === 1 ? 'address' : 'addresses'} at {named}
      {hosts.length > SHOWN_HOSTS && ` and ${countOf(hosts.length - SHOWN_HOSTS, 'other host')}`}
    </p>
  )
}

function Labelled({ label, className, children }: { label: string; className: string; children: ReactNode }) {
  return (
    // biome-ignore lint/a11y/noLabelWithoutControl: the control is among its children
    <label className={`flex min-w-[110px] flex-col gap-1 max-sm:flex-1 ${className}`}>
      <span className="text-xs text-dim">{label}</span>
      {children}
    </label>
  )
}
