import { useState } from 'react'
import { Button } from '../components/button.tsx'
import { Dialog } from '../components/dialog.tsx'
import { localTime } from '../view/format.ts'
import { writeRange } from '../view/range.ts'

export interface Props {
  from: number
  to: number
  onChange: (range: string) => void
  onClose: () => void
}

export function RangeDialog({ from, to, onChange, onClose }: Props) {
  const [first, setFirst] = useState(() => toMinute(from))
  const [last, setLast] = useState(() => toMinute(to))
  const valid = Date.parse(first) < Date.parse(last)
  return (
    <Dialog title="Between two dates" onClose={onClose}>
      <form
        className="flex flex-col gap-3"
        onSubmit={(event) => {
          event.preventDefault()
          if (!valid) return
          onChange(writeRange(Date.parse(first), Date.parse(last)))
          onClose()
        }}
      >
        {(
          [
            ['From', first, setFirst],
            ['To', last, setLast],
          ] as const
        ).map(([label, value, set]) => (
          <label key={label} className="flex flex-col gap-1">
            <span className="font-medium">{label}</span>
            <input
              type="datetime-local"
              className="field"
              required
              value={value}
              onChange={(event) => set(event.target.value)}
            />
          </label>
        ))}
        <p className={valid ? 'text-dim' : 'text-bad'} role="status">
          {valid ? 'In the time zone of this browser.' : 'The first date must be before the last one.'}
        </p>
        <Button type="submit" look="solid" disabled={!valid}>
          Show this range
        </Button>
      </form>
    </Dialog>
  )
}

const toMinute = (at: number): string => localTime(new Date(at).toISOString()).slice(0, 16)
