import type { TimingRequest } from '@taskfleet/protocol'
import { useFleetClient } from '@taskfleet/react'
import { useEffect, useState } from 'react'
import { useAsked } from '../live/use-asked.ts'
import { wireError } from '../live/wire-error.ts'
import { cronWords, timeIn } from '../view/schedule-words.ts'
import { visibleText } from '../view/text.ts'
import { zoneName } from '../view/zone.ts'

const COUNT = 5
/** Typing counts as settled after this long. */
const SETTLE_MS = 250

/** The times of a timing, or why there are none. */
interface Previewed {
  timing: TimingRequest
  slots: string[]
  problem?: string
}

/** The next times of a timing while it is typed, in its own time zone and in the user's. */
export function SchedulePreview({ timing }: { timing: TimingRequest | undefined }) {
  const client = useFleetClient()
  const current = JSON.stringify(timing)
  const settled = useSettled(current)
  const ask = async (): Promise<Previewed | undefined> => {
    if (settled === undefined) return undefined
    const timing = JSON.parse(settled) as TimingRequest
    try {
      return { timing, slots: await client.schedules.preview({ ...timing, count: COUNT }) }
    } catch (thrown) {
      return { timing, slots: [], problem: wireError(thrown).message }
    }
  }
  const { answer } = useAsked(ask, { key: settled ?? '' })
  if (timing === undefined || answer === undefined) return null
  // The answer may be for an earlier timing.
  const old = JSON.stringify(answer.timing) !== current
  return (
    <section
      aria-label="Next runs"
      aria-busy={old}
      className={`rounded-md bg-raised/60 px-3 py-2 ${old ? 'opacity-50' : ''}`}
    >
      <Slots previewed={answer} />
    </section>
  )
}

function Slots({ previewed: { timing, slots, problem } }: { previewed: Previewed }) {
  const { cron, timeZone = 'UTC' } = timing
  const words = cron === undefined ? undefined : cronWords(cron)
  const own = zoneName()
  if (problem !== undefined) {
    return (
      <p role="status" className="text-bad">
        {visibleText(problem, 300)}
      </p>
    )
  }
  return (
    <>
      {words !== undefined && <p className="mb-1 font-medium">{words}</p>}
      {slots.length === 0 ? (
        <p className="text-dim">It has no further runs.</p>
      ) : (
        <table className="w-full text-xs">
          <thead>
            <tr className="text-left text-dim">
              <th className="pr-3 font-medium">{visibleText(timeZone, 60)}</th>
              {timeZone !== own && <th className="font-medium">{own} (yours)</th>}
            </tr>
          </thead>
          <tbody>
            {slots.map((slot) => (
              <tr key={slot} data-testid="slot">
                <td className="pr-3">
                  <time dateTime={slot}>{timeIn(slot, timeZone)}</time>
                </td>
                {timeZone !== own && <td className="text-dim">{timeIn(slot, own)}</td>}
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </>
  )
}

/** The text, once it has not changed for a moment. */
function useSettled(text: string | undefined): string | undefined {
  const [settled, setSettled] = useState(text)
  useEffect(() => {
    const timer = setTimeout(() => setSettled(text), SETTLE_MS)
    return () => clearTimeout(timer)
  }, [text])
  return settled
}
