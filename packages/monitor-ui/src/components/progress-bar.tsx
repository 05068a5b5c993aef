import { Bar } from '@taskfleet/react/internal'

interface Props {
  /** 0 to 1; `undefined` while the total is unknown. */
  ratio: number | undefined
  label: string
  tall?: boolean
  tone?: string
}

export function ProgressBar({ ratio, label, tall = false, tone = 'text-run' }: Props) {
  return <Bar ratio={ratio} label={label} className={`bar ${tone}`} data-tall={tall || undefined} />
}
