import type { LogLevel, StoredLogLine } from '@taskfleet/protocol'
import { Fragment, useEffect, useLayoutEffect, useRef, useState } from 'react'
import { formatClock } from '../view/format.ts'
import { visibleText } from '../view/text.ts'
import { LinkButton } from './button.tsx'

const LEVELS: Record<LogLevel, { tone: string; rank: number }> = {
  debug: { tone: 'text-dim', rank: 0 },
  info: { tone: 'text-run', rank: 1 },
  warn: { tone: 'text-warn', rank: 2 },
  error: { tone: 'text-bad', rank: 3 },
}

interface Props {
  lines: readonly StoredLogLine[]
  /** Shown when there are no lines. */
  empty: string
  /** Only as high as its lines, because no more will come. */
  compact: boolean
  /** Loads older lines, if there are any. */
  earlier: { load: () => void; busy: boolean } | undefined
  /** Why stored lines could not be loaded. */
  problem: string | undefined
}

/** The newest lines of a task's log. It follows the end until the user scrolls up. */
export function LogTail({ lines, empty, compact, earlier, problem }: Props) {
  const [least, setLeast] = useState<LogLevel>('debug')
  const [follow, setFollow] = useState(true)
  const box = useRef<HTMLDivElement>(null)
  const shown = lines.filter(({ level }) => LEVELS[level].rank >= LEVELS[least].rank)
  // On purpose: a new line has moved the end
  useEffect(() => {
    const element = box.current
    if (follow && element !== null) element.scrollTop = element.scrollHeight
  }, [follow, shown.length, shown.at(-1)])
  // Lines that are added above must not move the lines that the user reads.
  const first = shown[0]
  const top = useRef<{ first: StoredLogLine | undefined; height: number }>({ first: undefined, height: 0 })
  useLayoutEffect(() => {
    const element = box.current
    if (element === null) return
    const before = top.current
    const isAbove = before.first !== undefined && first !== before.first && shown.includes(before.first)
    if (!follow && isAbove) element.scrollTop += element.scrollHeight - before.height
    top.current = { first, height: element.scrollHeight }
  })
  const several = shown.length > 0 && shown.at(-1)?.attempt !== first?.attempt

  return (
    <section className="panel flex min-h-0 flex-col" aria-label="Log">
      <div className="flex flex-wrap items-center gap-x-4 gap-y-1 border-b border-line px-3 py-1.5">
        <h2 className="heading mr-auto">Log</h2>
        <label className="flex items-center gap-1.5 text-xs text-dim">
          Level
          <select
            className="rounded border border-line bg-panel px-1 py-0.5 text-text"
            value={least}
            onChange={(event) => setLeast(event.target.value as LogLevel)}
          >
            {(Object.keys(LEVELS) as LogLevel[]).map((level) => (
              <option key={level} value={level}>
                {level === 'debug' ? 'all' : level === 'error' ? 'errors' : `${level} and above`}
              </option>
            ))}
          </select>
        </label>
        <label className="flex items-center gap-1.5 text-xs text-dim">
          <input type="checkbox" checked={follow} onChange={(event) => setFollow(event.target.checked)} />
          Follow
        </label>
      </div>
      <div
        ref={box}
        role="log"
        aria-label="Log lines"
        // biome-ignore lint/a11y/noNoninteractiveTabindex: a scrolled region must be reachable by keyboard
        tabIndex={0}
        className={`${compact ? '' : 'h-64'} overflow-auto [overflow-anchor:none] overscroll-contain px-3 py-2 font-mono text-xs leading-relaxed`}
        onScroll={(event) => {
          const { scrollTop, scrollHeight, clientHeight } = event.currentTarget
          setFollow(scrollHeight - scrollTop - clientHeight < 12)
        }}
      >
        {problem !== undefined && <p className="mb-1 font-sans text-bad">{visibleText(problem, 200)}</p>}
        {earlier !== undefined && (
          <LinkButton
            className="mb-1 font-sans disabled:opacity-55"
            disabled={earlier.busy}
            onClick={() => {
              setFollow(false)
              earlier.load()
            }}
          >
            {earlier.busy ? 'Loading…' : 'Load earlier lines'}
          </LinkButton>
        )}
        {shown.length === 0 && <p className="font-sans text-dim">{empty}</p>}
        {shown.map((line, index) => (
          <Fragment key={`${line.attempt}-${line.seq}-${line.at}`}>
            {several && line.attempt !== shown[index - 1]?.attempt && (
              <p className="mt-1 mb-0.5 flex items-center gap-2 font-sans text-[11px] text-dim">
                Attempt {line.attempt}
                <span className="flex-1 border-t border-line" aria-hidden />
              </p>
            )}
            <div className="flex gap-2" data-level={line.level}>
              <time className="shrink-0 text-dim" dateTime={line.at}>
                {formatClock(line.at)}
              </time>
              <span className={`w-10 shrink-0 ${LEVELS[line.level].tone}`}>{line.level}</span>
              <bdi className="min-w-0 flex-1 break-words whitespace-pre-wrap">{visibleText(line.message, 4_000)}</bdi>
            </div>
          </Fragment>
        ))}
      </div>
    </section>
  )
}
