import { type KeyboardEvent, type PointerEvent, useRef, useState } from 'react'
import { boundWidth, NARROWEST, type TaskColumn, WIDEST } from '../view/task-columns.ts'
import { visibleLine } from '../view/text.ts'

const STEP = 16

interface Props {
  column: TaskColumn
  /** Called with each width while the user changes it. */
  onSize: (width: number) => void
  /** Called with the last one; undefined for the usual width. */
  onSized: (width: number | undefined) => void
}

/** The edge of a heading, by which its column is made wider or narrower. */
export function ColumnEdge({ column, onSize, onSized }: Props) {
  const { own, width, title } = column
  // A column that grows is wider than its least width. It is measured when the edge is about to be used.
  const [drawn, setDrawn] = useState<number>()
  const grip = useRef<{ x: number; width: number }>(undefined)
  const changed = useRef(false)
  const now = own ?? drawn ?? width
  const measure = (edge: Element): number => {
    const measured = Math.round(edge.parentElement?.getBoundingClientRect().width ?? 0)
    const found = own ?? (measured > 0 ? measured : width)
    setDrawn(found)
    return found
  }
  const size = (wanted: number) => {
    changed.current = true
    onSize(boundWidth(wanted))
  }
  const finish = () => {
    grip.current = undefined
    if (changed.current) onSized(own)
    changed.current = false
  }
  const reset = () => {
    setDrawn(undefined)
    onSized(undefined)
  }
  const onPointerDown = (event: PointerEvent<HTMLElement>) => {
    if (event.button !== 0) return
    // Text is not selected meanwhile.
    event.preventDefault()
    event.currentTarget.focus()
    event.currentTarget.setPointerCapture(event.pointerId)
    grip.current = { x: event.clientX, width: measure(event.currentTarget) }
  }
  const onKeyDown = (event: KeyboardEvent<HTMLElement>) => {
    const from = measure(event.currentTarget)
    const wanted: Partial<Record<string, number>> = {
      ArrowLeft: from - STEP,
      ArrowRight: from + STEP,
      Home: NARROWEST,
      End: WIDEST,
    }
    const next = wanted[event.key]
    if (next === undefined && event.key !== 'Enter') return
    event.preventDefault()
    if (next === undefined) reset()
    else size(next)
  }
  return (
    <div
      role="separator"
      tabIndex={0}
      aria-orientation="vertical"
      aria-label={`Width of ${visibleLine(title, 40)}`}
      aria-valuenow={now}
      aria-valuemin={NARROWEST}
      aria-valuemax={WIDEST}
      aria-valuetext={`${now} pixels`}
      title="Drag, or press ← and →. Double click or Enter: the usual width"
      className="absolute inset-y-0 -right-3.5 flex w-4 cursor-col-resize touch-none justify-center after:my-1.5 after:w-px after:bg-line hover:after:w-0.5 hover:after:bg-run focus-visible:after:w-0.5 focus-visible:after:bg-run"
      onPointerDown={onPointerDown}
      onPointerMove={({ clientX }) => {
        if (grip.current !== undefined) size(grip.current.width + clientX - grip.current.x)
      }}
      onPointerUp={finish}
      onPointerCancel={finish}
      onDoubleClick={reset}
      onFocus={(event) => measure(event.currentTarget)}
      onKeyDown={onKeyDown}
      onKeyUp={finish}
      onBlur={finish}
    />
  )
}
