import { formatTime, formatWhen } from '../view/format.ts'

/** How long ago or ahead a moment is. Its date is the tooltip. */
export function Ago({ at, now, className }: { at: string; now: number; className?: string }) {
  return (
    <time dateTime={at} title={formatTime(at)} className={className}>
      {formatWhen(at, now)}
    </time>
  )
}
