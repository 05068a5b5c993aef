import { useEffect, useState } from 'react'
import { type Timing, useRest } from '../live/rest.ts'
import { useAsked } from '../live/use-asked.ts'
import { cronWords, inZone, ownZone } from '../view/schedule-words.ts'
import { visibleText } from '../view/text.ts'

const COUNT = 5
/** Typing settles for this long before the gateway is asked. */
const SETTLE_MS = 250

/** The next slots of a timing while it is typed, by the clocks of its zone and the reader's. */
export function SchedulePreview({ timing }: { timing: Timing | undefined }) {
  const rest = useRest()
  const settled = useSettled(JSON.stringify(timing))
  const asked = settled === undefined ? undefined : (JSON.parse(settled) as Timing)
  const { answer, error } = useAsked(
    () => (asked === undefined ? Promise.resolve([]) : rest.previewSchedule(asked, COUNT)),
    { key: settled ?? '' },
  )
  if (timing === undefined) return null
  const words = timing.cron === undefined ? undefined : cronWords(timing.cron)
  const own = ownZone()
  const wrong = error !== undefined && settled === JSON.stringify(timing)
  return (
    <section aria-label="Next runs" className="rounded-md bg-raised/60 px-3 py-2">
      {words !== undefined && !wrong && <p className="mb-1 font-medium">{words}</p>}
      {wrong && (
        <p role="status" className="text-bad">
          {visibleText(error.message, 300)}
        </p>
      )}
      {!wrong && answer?.length === 0 && <p className="text-dim">It would not run any more.</p>}
      {!wrong && answer !== undefined && answer.length > 0 && (
        <table className="w-full text-xs">
          <thead>
            <tr className="text-left text-dim">
              <th className="pr-3 font-medium">{visibleText(timing.timeZone, 60)}</th>
              {timing.timeZone !== own && <th className="font-medium">{own}, yours</th>}
            </tr>
          </thead>
          <tbody>
            {answer.map((slot) => (
              <tr key={slot} data-testid="slot">
                <td className="pr-3">
                  <time dateTime={slot}>{inZone(slot, timing.timeZone)}</time>
                </td>
                {timing.timeZone !== own && <td className="text-dim">{inZone(slot, own)}</td>}
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </section>
  )
}

/** A text once it has not changed for a moment. */
function useSettled(text: string | undefined): string | undefined {
  const [settled, setSettled] = useState(text)
  useEffect(() => {
    const timer = setTimeout(() => setSettled(text), SETTLE_MS)
    return () => clearTimeout(timer)
  }, [text])
  return settled
}
