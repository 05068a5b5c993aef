import { useRouter } from '@tanstack/react-router'
import { useVirtualizer } from '@tanstack/react-virtual'
import type { LogLevel, StoredLogLine } from '@taskfleet/protocol'
import { ArrowDownToLine, Check, Copy as CopyIcon, Download } from 'lucide-react'
import { useCallback, useDeferredValue, useEffect, useLayoutEffect, useMemo, useRef, useState } from 'react'
import { keepChoice, keptChoice } from '../shell/kept-choice.ts'
import { countOf } from '../view/counts.ts'
import { LEVELS, LogSearch, lineName, linesFrom } from '../view/log-lines.ts'
import { visibleText } from '../view/text.ts'
import { LinkButton } from './button.tsx'
import { LogRow } from './log-row.tsx'
import { Choice, SearchField, Tool } from './log-tools.tsx'
import { saveFile } from './save-file.ts'

const LEVEL_WORDS: Record<LogLevel, string> = {
  debug: 'all',
  info: 'info and above',
  warn: 'warn and above',
  error: 'errors',
}
/** A longer log draws only the lines that are visible. The browser's own search finds all lines of a shorter one. */
const VIRTUAL_FROM = 300
const LINE_PX = 20
const COPIED_MS = 1_500

interface Props {
  /** The task's id. */
  task: string
  lines: readonly StoredLogLine[]
  /** The name of the line that the address names. */
  marked: string | undefined
  /** No more lines come. */
  ended: boolean
  /** Loads older lines, if there are any. */
  earlier: { one: () => void; all: () => void; busy: boolean } | undefined
  /** Everything as a text. */
  text: () => Promise<string>
  /** Why stored lines could not be loaded. */
  problem: string | undefined
  /** Shown when there are no lines. */
  empty: string
}

/** A log with search, levels and links to its lines. It follows the end until the user scrolls up. */
export function LogView({ task, lines, marked, ended, earlier, text, problem, empty }: Props) {
  const [least, setLeast] = useState<LogLevel>('debug')
  const [wrap, setWrap] = useKept('log.wrap', true)
  const [millis, setMillis] = useKept('log.ms', false)
  const [typed, setTyped] = useState('')
  const wanted = useDeferredValue(typed.trim())
  const [follow, setFollow] = useState(marked === undefined)
  /** The name of the found line that is chosen. */
  const [chosen, setChosen] = useState<string>()
  const [copied, setCopied] = useState(false)
  const search = useRef(new LogSearch())
  const shown = useMemo(() => linesFrom(lines, least), [lines, least])
  const found = useMemo(() => search.current.find(shown, wanted), [shown, wanted])
  const foundAt = chosen === undefined ? -1 : found.findIndex((index) => nameAt(shown, index) === chosen)

  const router = useRouter()
  const address = useMemo(() => addressOf(router, task), [router, task])
  const mark = useCallback(
    (line: string) => void router.navigate({ ...placeOf(task, line), replace: true, resetScroll: false }),
    [router, task],
  )

  const box = useRef<HTMLDivElement>(null)
  const isVirtual = shown.length > VIRTUAL_FROM
  const virtual = useVirtualizer({
    count: isVirtual ? shown.length : 0,
    getScrollElement: () => box.current,
    estimateSize: () => LINE_PX,
    getItemKey: (index) => nameAt(shown, index) ?? index,
    overscan: 12,
  })
  // On purpose: lines have other heights now
  useEffect(() => virtual.measure(), [wrap, isVirtual])

  /** Scrolls to a line, if it is shown. */
  const show = (name: string): boolean => {
    const index = shown.findIndex((line) => lineName(line) === name)
    if (index === -1) return false
    setFollow(false)
    if (isVirtual) virtual.scrollToIndex(index, { align: 'center' })
    else box.current?.querySelector(`[data-line="${name}"]`)?.scrollIntoView?.({ block: 'nearest' })
    return true
  }
  const choose = (place: number) => {
    const index = found[(place + found.length) % found.length]
    const name = index === undefined ? undefined : nameAt(shown, index)
    setChosen(name)
    if (name !== undefined) show(name)
  }
  // The newest line that is found comes first.
  const next = () => choose(foundAt === -1 ? found.length - 1 : foundAt + 1)
  const previous = () => choose(foundAt === -1 ? found.length - 1 : foundAt - 1)

  // On purpose: another line of the address, once it is loaded
  const seen = useRef<string>(undefined)
  useEffect(() => {
    if (marked !== undefined && seen.current !== marked && show(marked)) seen.current = marked
  }, [marked, shown.length])

  const height = isVirtual ? virtual.getTotalSize() : 0
  const lastTop = useRef(0)
  // On purpose: a new line or another height has moved the end
  useEffect(() => {
    const element = box.current
    if (follow && element !== null) element.scrollTop = element.scrollHeight
  }, [follow, shown.length, shown.at(-1), height, wrap])
  // Lines that are added above must not move the lines that the user reads.
  const first = shown[0]
  const top = useRef<{ first: StoredLogLine | undefined; height: number }>({ first: undefined, height: 0 })
  useLayoutEffect(() => {
    const element = box.current
    if (element === null) return
    const before = top.current
    if (!follow && before.first !== undefined && first !== before.first && shown.includes(before.first))
      element.scrollTop += element.scrollHeight - before.height
    top.current = { first, height: element.scrollHeight }
  })

  const copy = async () => {
    try {
      await navigator.clipboard.writeText(await text())
      setCopied(true)
      setTimeout(() => setCopied(false), COPIED_MS)
    } catch {
      setCopied(false)
    }
  }
  const several = shown.length > 0 && shown.at(-1)?.attempt !== first?.attempt
  const row = (line: StoredLogLine, index: number) => {
    const name = lineName(line)
    return (
      <LogRow
        href={address.replace('0.0', name)}
        onMark={mark}
        name={name}
        at={line.at}
        level={line.level}
        message={line.message}
        attempt={several && line.attempt !== shown[index - 1]?.attempt ? line.attempt : undefined}
        wanted={wanted}
        state={name === chosen ? 'chosen' : name === marked ? 'marked' : undefined}
        wrap={wrap}
        millis={millis}
      />
    )
  }

  return (
    <section className="panel flex min-h-0 min-w-0 flex-col" aria-label="Log">
      <div className="flex flex-wrap items-center gap-x-3 gap-y-1.5 border-b border-line px-3 py-1.5 text-xs text-dim">
        <h2 className="heading">Log</h2>
        <SearchField
          typed={typed}
          onType={(value) => {
            setTyped(value)
            setChosen(undefined)
          }}
          count={wanted === '' ? undefined : found.length}
          place={foundAt}
          onNext={next}
          onPrevious={previous}
        />
        <label className="flex items-center gap-1.5">
          <span className="max-xl:sr-only">Level</span>
          <select
            className="rounded border border-line bg-panel px-1 py-0.5 text-text"
            value={least}
            onChange={(event) => setLeast(event.target.value as LogLevel)}
          >
            {LEVELS.map((level) => (
              <option key={level} value={level}>
                {LEVEL_WORDS[level]}
              </option>
            ))}
          </select>
        </label>
        <Choice label="Wrap" on={wrap} onChange={setWrap} />
        <Choice label="ms" title="Milliseconds" on={millis} onChange={setMillis} />
        <Choice label="Follow" on={follow} onChange={setFollow} />
        <span className="ml-auto flex items-center">
          <span className="sr-only" role="status">
            {copied ? 'Copied' : ''}
          </span>
          <Tool icon={copied ? Check : CopyIcon} label="Copy the log" onClick={() => void copy()} />
          <Tool
            icon={Download}
            label="Save the log as text"
            onClick={() => void text().then((all) => saveFile(`task-${task}.log`, 'text/plain;charset=utf-8', all))}
          />
        </span>
      </div>
      {problem !== undefined && <p className="px-3 pt-1.5 text-bad">{visibleText(problem, 200)}</p>}
      {earlier !== undefined && (
        <p className="flex flex-wrap items-center gap-x-3 border-b border-line px-3 py-1 text-xs text-dim">
          {earlier.busy ? 'Loading…' : `The newest ${countOf(lines.length, 'line')}`}
          <LinkButton
            className="disabled:opacity-55"
            disabled={earlier.busy}
            onClick={() => {
              setFollow(false)
              earlier.one()
            }}
          >
            Load earlier lines
          </LinkButton>
          <LinkButton className="disabled:opacity-55" disabled={earlier.busy} onClick={earlier.all}>
            Load all
          </LinkButton>
        </p>
      )}
      <div className="relative flex min-h-0 flex-col">
        <div
          ref={box}
          role="log"
          aria-live="off"
          aria-label="Log lines"
          // biome-ignore lint/a11y/noNoninteractiveTabindex: a scrolled region must be reachable by keyboard
          tabIndex={0}
          className={`${isVirtual ? 'h-[75dvh]' : ended ? 'max-h-[75dvh]' : 'max-h-[75dvh] min-h-48'} overflow-auto [overflow-anchor:none] py-2 font-mono text-xs leading-[20px]`}
          onScroll={(event) => {
            const { scrollTop, scrollHeight, clientHeight } = event.currentTarget
            const isEnd = scrollHeight - scrollTop - clientHeight < 12
            // Lines that grow move the end away; only the user moves up.
            if (isEnd) setFollow(true)
            else if (scrollTop < lastTop.current - 1) setFollow(false)
            lastTop.current = scrollTop
          }}
        >
          {shown.length === 0 && (
            <p className="px-3 font-sans text-dim">{lines.length > 0 ? 'No line has this level.' : empty}</p>
          )}
          {isVirtual ? (
            <div className="relative" style={{ height }}>
              {virtual.getVirtualItems().map(({ key, index, start }) => {
                const line = shown[index]
                if (line === undefined) return null
                return (
                  <div
                    key={key}
                    ref={virtual.measureElement}
                    data-index={index}
                    className={`absolute top-0 left-0 ${wrap ? 'w-full' : 'w-max min-w-full'}`}
                    style={{ transform: `translateY(${start}px)` }}
                  >
                    {row(line, index)}
                  </div>
                )
              })}
            </div>
          ) : (
            <div className={wrap ? '' : 'w-max min-w-full'}>
              {shown.map((line, index) => (
                <div key={`${lineName(line)} ${line.at}`}>{row(line, index)}</div>
              ))}
            </div>
          )}
        </div>
        {!follow && !ended && (
          <button type="button" className="button absolute right-4 bottom-3 shadow-lg" onClick={() => setFollow(true)}>
            <ArrowDownToLine size={14} aria-hidden /> To the end
          </button>
        )}
      </div>
    </section>
  )
}

const nameAt = (lines: readonly StoredLogLine[], index: number): string | undefined => {
  const line = lines[index]
  return line && lineName(line)
}

const placeOf = (id: string, line: string) => ({ to: '/tasks/$id' as const, params: { id }, search: { line } })

/** The address of the line `0.0`, which no log has. */
function addressOf(router: ReturnType<typeof useRouter>, task: string): string {
  return router.history.createHref(router.buildLocation(placeOf(task, '0.0')).publicHref)
}

/** A choice that this browser keeps. */
function useKept(name: string, byDefault: boolean): [on: boolean, set: (on: boolean) => void] {
  const [on, setOn] = useState(() => {
    const kept = keptChoice(name)
    return kept === undefined ? byDefault : kept === 'on'
  })
  const set = (value: boolean) => {
    setOn(value)
    keepChoice(name, value ? 'on' : 'off')
  }
  return [on, set]
}
