interface Props {
  /** 0 to 1; `undefined` while the total is unknown. */
  ratio: number | undefined
  label: string
  tall?: boolean
  tone?: string
}

export function ProgressBar({ ratio, label, tall = false, tone = 'text-run' }: Props) {
  return (
    <div
      role="progressbar"
      aria-label={label}
      aria-valuemin={0}
      aria-valuemax={100}
      aria-valuenow={ratio === undefined ? undefined : Math.round(ratio * 1_000) / 10}
      className={`bar ${tone}`}
      data-tall={tall || undefined}
      data-endless={ratio === undefined || undefined}
    >
      <i style={ratio === undefined ? undefined : { transform: `scaleX(${ratio})` }} />
    </div>
  )
}
