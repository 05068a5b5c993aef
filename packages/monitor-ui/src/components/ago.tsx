import { formatTime, formatWhen } from '../view/format.ts'

/** The time since or until a moment. Its date is the tooltip. */
export function Ago({ at, now, className }: { at: string; now: number; className?: string }) {
  return (
    <time dateTime={at} title={formatTime(at)} className={className}>
      {formatWhen(at, now)}
    </time>
  )
}
