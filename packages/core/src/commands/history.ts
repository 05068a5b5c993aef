import { FleetError, type HistoryRequest, type HistoryRow, type WaitingRow } from '@taskfleet/protocol'
import type { Principal } from '../auth/key-store.ts'
import { isUnlimited, reaches, visibleTo } from '../auth/reach.ts'
import { BUCKET_LIMITS_MS, quantile } from '../history/buckets.ts'
import { floorTo, KEPT_MS, type RolledUp, type RollUps, UNIT_MS } from '../history/roll-ups.ts'
import type { WaitingSamples } from '../history/waiting-samples.ts'
import { parseDate, parseOneOf } from '../task/parse-value.ts'

/** How much time a request covers without `since`, in its unit. */
const USUAL_UNITS = 60
const MOST_ROWS = 10_000
const MAX_QUERY_MS = 2_000

/**
 * What ended in a time, by minute or hour, the oldest first. A limited key sees its own queues and names, all hosts as one.
 *
 * @throws {FleetError} `BAD_DATE`, `OUT_OF_RANGE` before the time that is kept, `TOO_BIG`
 */
export async function history(
  rollUps: RollUps,
  principal: Principal,
  request: HistoryRequest,
  now: Date,
): Promise<HistoryRow[]> {
  const { unit, since, until } = timeOf(request, now)
  const { queue, name } = request
  const wanted = { ...(queue === undefined ? {} : { queue }), ...(name === undefined ? {} : { name }) }
  const found = await rollUps.read(
    unit,
    { since, until },
    { $and: [wanted, visibleTo(principal) ?? {}] },
    { limit: MOST_ROWS + 1, maxTimeMS: MAX_QUERY_MS },
  )
  if (found.length > MOST_ROWS) {
    throw new FleetError('TOO_BIG', `There are more than ${MOST_ROWS} rows. Ask for less time, or for hours`, {
      field: 'since',
    })
  }
  return isUnlimited(principal) ? found.map(toRow) : withoutHosts(found).map(toRow)
}

/**
 * How many tasks waited in a time, by minute or hour, the oldest first. A limited key sees its own queues and names.
 *
 * @throws {FleetError} `BAD_DATE`, `OUT_OF_RANGE` before the time that is kept, `QUERY_TOO_SLOW`
 */
export async function waitingHistory(
  samples: WaitingSamples,
  principal: Principal,
  request: HistoryRequest,
  now: Date,
): Promise<WaitingRow[]> {
  const { unit, since, until } = timeOf(request, now)
  const { queue, name } = request
  const found = await samples.read(unit, { since, until }, { maxTimeMS: MAX_QUERY_MS })
  const all = isUnlimited(principal) && queue === undefined && name === undefined
  return found.map((sample) => {
    const at = sample.at.toISOString()
    if (all) return { at, count: sample.count, oldestMs: sample.oldestMs, attention: sample.attention }
    const groups = sample.groups.filter(
      (group) =>
        reaches(principal, group) &&
        (queue === undefined || group.queue === queue) &&
        (name === undefined || group.name === name),
    )
    const count = groups.reduce((sum, group) => sum + group.count, 0)
    return { at, count, oldestMs: Math.max(0, ...groups.map(({ oldestMs }) => oldestMs)) }
  })
}

/** The time that a request covers, from the start of a minute or hour. */
function timeOf({ unit: asked = 'minute', since, until }: HistoryRequest, now: Date) {
  const unit = parseOneOf(asked, 'unit', ['minute', 'hour'])
  const to = until === undefined ? new Date(now.getTime() + UNIT_MS[unit]) : parseDate(until, 'until')
  const from = since === undefined ? new Date(to.getTime() - USUAL_UNITS * UNIT_MS[unit]) : parseDate(since, 'since')
  if (from.getTime() < now.getTime() - KEPT_MS[unit] - UNIT_MS[unit]) {
    const days = KEPT_MS[unit] / UNIT_MS.hour / 24
    throw new FleetError('OUT_OF_RANGE', `Each ${unit} is kept for ${days} days`, { field: 'since' })
  }
  return { unit, since: new Date(floorTo(from.getTime(), UNIT_MS[unit])), until: to }
}

function toRow({ at, queue, name, host, outcome, status, count, wait, run }: RolledUp): HistoryRow {
  const where = host === '' ? {} : { host }
  return {
    at: at.toISOString(),
    queue,
    name,
    ...where,
    outcome,
    status,
    count,
    waitMs: spread(wait),
    runMs: spread(run),
  }
}

/** Estimated from buckets, which are at most two and a half times as long as the one before. */
function spread(counts: readonly number[]): HistoryRow['waitMs'] {
  const count = counts.reduce((sum, one) => sum + one, 0)
  const at = (part: number): number => Math.round(quantile(counts, part)!)
  return count === 0 ? { count } : { count, p50: at(0.5), p95: at(0.95), p99: at(0.99) }
}

function withoutHosts(rows: readonly RolledUp[]): RolledUp[] {
  const sums = new Map<string, RolledUp>()
  for (const row of rows) {
    const key = [row.at.toISOString(), row.queue, row.name, row.outcome, row.status].join('\n')
    const sum = sums.get(key)
    if (sum === undefined) sums.set(key, { ...row, host: '', wait: [...row.wait], run: [...row.run] })
    else {
      sum.count += row.count
      for (let bucket = 0; bucket <= BUCKET_LIMITS_MS.length; bucket += 1) {
        sum.wait[bucket]! += row.wait[bucket]!
        sum.run[bucket]! += row.run[bucket]!
      }
    }
  }
  return [...sums.values()]
}
