import type { FleetApi } from '@taskfleet/client'
import type { WaitingRow } from '@taskfleet/protocol'
import { useFleetClient } from '@taskfleet/react'
import { useAsked } from './use-asked.ts'

const MINUTE_MS = 60_000
const HOUR_MS = 60 * MINUTE_MS
const WEEK_MS = 7 * 24 * HOUR_MS
/** Minutes are kept for two days. */
const MINUTES_MS = 47 * HOUR_MS

/**
 * Since when nothing has needed anybody, as ISO 8601: to the minute for two days, then to the hour. Undefined while something does, and
 * for limited keys, which don't know of all.
 *
 * @param isWell whether nothing needs anybody now
 */
export function useWellSince(isWell: boolean): string | undefined {
  const client = useFleetClient()
  const { answer } = useAsked(() => wellSince(client), { key: 'well since', everyMs: MINUTE_MS, active: isWell })
  return isWell ? answer : undefined
}

async function wellSince(client: FleetApi): Promise<string | undefined> {
  const now = Date.now() + client.clockOffset
  const hours = await client.tasks.waiting({ unit: 'hour', since: new Date(now - WEEK_MS).toISOString() })
  const hour = hours.findLast(needed)
  if (hour === undefined) return hours[0]?.attention === undefined ? undefined : hours[0].at
  const from = Date.parse(hour.at)
  if (now - from > MINUTES_MS) return new Date(from + HOUR_MS).toISOString()
  const until = new Date(from + HOUR_MS).toISOString()
  const minutes = await client.tasks.waiting({ unit: 'minute', since: hour.at, until })
  const minute = minutes.findLast(needed)
  return new Date(minute === undefined ? from : Math.min(now, Date.parse(minute.at) + MINUTE_MS)).toISOString()
}

const needed = ({ attention = 0 }: WaitingRow): boolean => attention > 0
