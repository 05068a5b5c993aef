import type { LogLevel } from '@taskfleet/protocol'
import { memo, type ReactNode } from 'react'
import { formatClock, formatTime } from '../view/format.ts'
import { shownMessage, splitBy } from '../view/log-lines.ts'

const TONE: Record<LogLevel, string> = {
  debug: 'text-dim',
  info: 'text-run',
  warn: 'text-warn',
  error: 'text-bad',
}
interface RowProps {
  /** Its address. A router's link would follow the address in each of many lines. */
  href: string
  /** The line is chosen for the address. It is always the same function. */
  onMark: (name: string) => void
  name: string
  at: string
  level: LogLevel
  message: string
  /** Where its attempt begins. */
  attempt: number | undefined
  wanted: string
  state: 'chosen' | 'marked' | undefined
  wrap: boolean
  millis: boolean
}

const STATE_LOOK = { chosen: 'bg-warn/20', marked: 'bg-run/15 shadow-[inset_3px_0_0_var(--color-run)]' }

/** Its values are texts, so a line that has not changed is not drawn again. */
export const LogRow = memo(function LogRow(props: RowProps): ReactNode {
  const { href, onMark, name, at, level, message, attempt, wanted, state, wrap, millis } = props
  const text = shownMessage(message)
  return (
    <>
      {attempt !== undefined && (
        <p className="mx-3 flex items-center gap-2 font-sans text-[11px] text-dim">
          Attempt {attempt}
          <span className="flex-1 border-t border-line" aria-hidden />
        </p>
      )}
      <div
        className={`flex gap-2 px-3 ${state === undefined ? 'hover:bg-raised/50' : STATE_LOOK[state]}`}
        data-level={level}
        data-line={name}
        data-state={state}
      >
        <a
          href={href}
          // By keyboard, a line is reached by the search.
          tabIndex={state === undefined ? -1 : 0}
          className="shrink-0 text-dim hover:underline"
          title={`${formatTime(at)}. Link to this line`}
          aria-label={`Link to the line of ${formatClock(at, millis)}`}
          onClick={(event) => {
            if (event.ctrlKey || event.metaKey || event.shiftKey || event.button !== 0) return
            event.preventDefault()
            onMark(name)
          }}
        >
          <time dateTime={at}>{formatClock(at, millis)}</time>
        </a>
        <span className={`w-10 shrink-0 ${TONE[level]}`}>{level}</span>
        <bdi className={wrap ? 'min-w-0 flex-1 break-words whitespace-pre-wrap' : 'whitespace-pre'}>
          {wanted === ''
            ? text
            : splitBy(text, wanted).map((part, index) =>
                index % 2 === 1 ? (
                  <mark key={index} className="rounded-xs bg-warn/40 text-inherit">
                    {part}
                  </mark>
                ) : (
                  part
                ),
              )}
        </bdi>
      </div>
    </>
  )
})
