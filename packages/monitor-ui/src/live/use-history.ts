import type { FleetApi } from '@taskfleet/client'
import type { HistoryRequest, HistoryRow, WaitingRow, WireError } from '@taskfleet/protocol'
import { useFleetClient } from '@taskfleet/react'
import { useRange } from '../shell/use-range.ts'
import { type HistoryUnit, unitOf } from '../view/history.ts'
import { type Range, type RangeName, rangeOf } from '../view/range.ts'
import { type Asked, useAsked } from './use-asked.ts'
import { wireError } from './wire-error.ts'

const AGAIN_MS = 15_000

interface Wanted {
  /** Only this queue. */
  queue?: string
  /** Only tasks of this name. */
  name?: string
}

/** Rows of a time. */
export interface Past<Row> extends Pick<Range, 'from' | 'to'> {
  rows: readonly Row[]
  unit: HistoryUnit
}

export interface HistoryView {
  /** Undefined until the first answer. It is kept while a newer one is loading or has failed. */
  history: Past<HistoryRow> | undefined
  /** When it arrived, in milliseconds of the server's clock. */
  at: number | undefined
  error: WireError | undefined
  tryAgain: () => void
}

/**
 * What ended in the chosen range, by minute or hour; polled.
 *
 * @param usual the range while none is chosen
 */
export function useHistory(wanted: Wanted = {}, usual?: RangeName): HistoryView {
  const { answer, ...view } = usePast('history', wanted, usual, (client, request) => client.tasks.history(request))
  return { history: answer, ...view }
}

/** What waited in the chosen range, by minute or hour; polled. */
export function useWaiting(usual?: RangeName): Asked<Past<WaitingRow>> {
  return usePast('waiting', {}, usual, (client, request) => client.tasks.waiting(request))
}

function usePast<Row>(
  what: string,
  wanted: Wanted,
  usual: RangeName | undefined,
  read: (client: FleetApi, request: HistoryRequest) => Promise<Row[]>,
): Asked<Past<Row>> {
  const client = useFleetClient()
  const { chosen } = useRange()
  const ask = async (): Promise<Past<Row>> => {
    const now = Date.now() + client.clockOffset
    const { from, to, name } = rangeOf(chosen, now, usual)
    const request = (unit: HistoryUnit): HistoryRequest => ({
      ...wanted,
      unit,
      since: new Date(from).toISOString(),
      ...(name === undefined && { until: new Date(to).toISOString() }),
    })
    const unit = unitOf({ from, to }, now)
    try {
      return { rows: await read(client, request(unit)), unit, from, to }
    } catch (thrown) {
      if (unit === 'hour' || wireError(thrown).code !== 'TOO_BIG') throw thrown
      return { rows: await read(client, request('hour')), unit: 'hour', from, to }
    }
  }
  // A range that moves on keeps its key.
  const key = `${what} ${JSON.stringify([wanted.queue, wanted.name, chosen ?? usual])}`
  return useAsked(ask, { key, everyMs: AGAIN_MS })
}
