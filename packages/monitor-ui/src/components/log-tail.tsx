import type { LogLevel, LogLine } from '@taskfleet/core/protocol'
import { useEffect, useRef, useState } from 'react'
import { formatClock } from '../view/format.ts'
import { visibleText } from '../view/text.ts'

const LEVELS: Record<LogLevel, { tone: string; rank: number }> = {
  debug: { tone: 'text-dim', rank: 0 },
  info: { tone: 'text-run', rank: 1 },
  warn: { tone: 'text-warn', rank: 2 },
  error: { tone: 'text-bad', rank: 3 },
}

interface Props {
  lines: readonly LogLine[]
  /** What is said while there are none. */
  empty: string
  /** Only as high as its lines, where no more will come. */
  compact: boolean
}

/** The newest lines of a task's log. It follows the end until somebody scrolls up. */
export function LogTail({ lines, empty, compact }: Props) {
  const [least, setLeast] = useState<LogLevel>('debug')
  const [follow, setFollow] = useState(true)
  const box = useRef<HTMLDivElement>(null)
  const shown = lines.filter(({ level }) => LEVELS[level].rank >= LEVELS[least].rank)
  // On purpose: each new line moves the end
  useEffect(() => {
    const element = box.current
    if (follow && element !== null) element.scrollTop = element.scrollHeight
  }, [follow, shown.length, shown.at(-1)])

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
        className={`${compact ? '' : 'h-64'} overflow-auto overscroll-contain px-3 py-2 font-mono text-xs leading-relaxed`}
        onScroll={(event) => {
          const { scrollTop, scrollHeight, clientHeight } = event.currentTarget
          setFollow(scrollHeight - scrollTop - clientHeight < 12)
        }}
      >
        {shown.length === 0 && <p className="font-sans text-dim">{empty}</p>}
        {shown.map((line, index) => (
          <div key={`${line.at}-${line.seq}-${index}`} className="flex gap-2" data-level={line.level}>
            <time className="shrink-0 text-dim" dateTime={line.at}>
              {formatClock(line.at)}
            </time>
            <span className={`w-10 shrink-0 ${LEVELS[line.level].tone}`}>{line.level}</span>
            <bdi className="min-w-0 flex-1 break-words whitespace-pre-wrap">{visibleText(line.message, 4_000)}</bdi>
          </div>
        ))}
      </div>
    </section>
  )
}
