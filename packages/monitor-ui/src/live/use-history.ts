import type { HistoryRequest, HistoryRow, WireError } from '@taskfleet/protocol'
import { useFleetClient } from '@taskfleet/react'
import { useRange } from '../shell/use-range.ts'
import { type HistoryUnit, unitOf } from '../view/history.ts'
import { type Range, rangeOf } from '../view/range.ts'
import { useAsked } from './use-asked.ts'
import { wireError } from './wire-error.ts'

const AGAIN_MS = 15_000

interface Wanted {
  /** Only this queue. */
  queue?: string
  /** Only tasks of this name. */
  name?: string
}

/** What ended in a time. */
interface History extends Pick<Range, 'from' | 'to'> {
  rows: readonly HistoryRow[]
  unit: HistoryUnit
}

export interface HistoryView {
  /** Undefined until the first answer. It is kept while a newer one is loading or has failed. */
  history: History | undefined
  /** When it arrived, in milliseconds of the server's clock. */
  at: number | undefined
  error: WireError | undefined
  tryAgain: () => void
}

/** What ended in the chosen range, by minute or hour; polled. */
export function useHistory(wanted: Wanted = {}): HistoryView {
  const client = useFleetClient()
  const { chosen } = useRange()
  const ask = async (): Promise<History> => {
    const now = Date.now() + client.clockOffset
    const { from, to, name } = rangeOf(chosen, now)
    const request = (unit: HistoryUnit): HistoryRequest => ({
      ...wanted,
      unit,
      since: new Date(from).toISOString(),
      ...(name === undefined && { until: new Date(to).toISOString() }),
    })
    const unit = unitOf({ from, to }, now)
    try {
      return { rows: await client.tasks.history(request(unit)), unit, from, to }
    } catch (thrown) {
      if (unit === 'hour' || wireError(thrown).code !== 'TOO_BIG') throw thrown
      return { rows: await client.tasks.history(request('hour')), unit: 'hour', from, to }
    }
  }
  // A range that moves on keeps its key.
  const key = `history ${JSON.stringify([wanted.queue, wanted.name, chosen])}`
  const { answer, ...view } = useAsked(ask, { key, everyMs: AGAIN_MS })
  return { history: answer, ...view }
}
