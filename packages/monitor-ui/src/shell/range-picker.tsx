import { useState } from 'react'
import { formatTick } from '../view/format.ts'
import { RANGES, type RangeName } from '../view/range.ts'
import { RangeDialog } from './dialogs.tsx'
import { useRange } from './use-range.ts'

const OWN = 'own'

/** The time range of the whole monitor. */
export function RangePicker() {
  const { from, to, name, chosen, change } = useRange()
  const [asking, setAsking] = useState(false)
  return (
    <>
      <select
        aria-label="Time range"
        className="field max-w-[220px] min-w-0 shrink"
        value={chosen ?? ''}
        onChange={({ target: { value } }) => {
          if (value === OWN) setAsking(true)
          else change(value === '' ? undefined : value)
        }}
      >
        <option value="">Any time</option>
        {(Object.keys(RANGES) as RangeName[]).map((one) => (
          <option key={one} value={one}>
            {RANGES[one].label}
          </option>
        ))}
        {name === undefined && (
          <option value={chosen}>
            {formatTick(from, true)} – {formatTick(to, to - from > 86_400_000)}
          </option>
        )}
        <option value={OWN}>Between two dates…</option>
      </select>
      {asking && <RangeDialog from={from} to={to} onChange={change} onClose={() => setAsking(false)} />}
    </>
  )
}
