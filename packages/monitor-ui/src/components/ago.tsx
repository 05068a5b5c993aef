import { formatAge, formatTime } from '../view/format.ts'

/** How long ago something was, with its date for those who point at it. */
export function Ago({ at, now, className }: { at: string; now: number; className?: string }) {
  return (
    <time dateTime={at} title={formatTime(at)} className={className}>
      {formatAge(now - Date.parse(at))} ago
    </time>
  )
}
