import { formatTime, formatWhen } from '../view/format.ts'

interface Props {
  /** ISO 8601. */
  at: string
  now: number
  className?: string
}

/** The time since or until a moment. The tooltip has its date with the zone; copied, it is the date in ISO 8601. */
export function Time({ at, now, className }: Props) {
  return (
    <time
      dateTime={at}
      title={formatTime(at)}
      className={className}
      onCopy={(event) => {
        event.clipboardData.setData('text/plain', at)
        event.preventDefault()
      }}
    >
      {formatWhen(at, now)}
    </time>
  )
}
