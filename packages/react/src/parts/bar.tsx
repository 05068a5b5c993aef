import type { ReactElement } from 'react'

interface Props {
  /** 0 to 1; `undefined` while the total is unknown. */
  ratio: number | undefined
  label: string
  className?: string
  'data-tall'?: boolean | undefined
}

/** A progress bar: its fill is scaled, so that its length can move without a layout. */
export function Bar({ ratio, label, className = 'taskfleet-bar', 'data-tall': tall }: Props): ReactElement {
  return (
    <div
      role="progressbar"
      aria-label={label}
      aria-valuemin={0}
      aria-valuemax={100}
      aria-valuenow={ratio === undefined ? undefined : Math.round(ratio * 1_000) / 10}
      className={className}
      data-tall={tall}
      data-endless={ratio === undefined || undefined}
    >
      <i style={ratio === undefined ? undefined : { transform: `scaleX(${ratio})` }} />
    </div>
  )
}
