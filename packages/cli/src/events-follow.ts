import { setTimeout as sleep } from 'node:timers/promises'
import { QUERY_LIMITS } from '@taskfleet/core/internal'
import { type EventRow, FleetError } from '@taskfleet/protocol'
import type { FleetView } from './fleet-view.ts'

/** The beginning of a log: events that ended at this date or later, without those already in the log. */
export interface Beginning {
  processedAt: string
  ids: ReadonlySet<string>
}

/** An end has the date at which its write starts, and is visible when the write is done. So a later end may show up first. */
const LATE_MS = 60_000
/** Errors that pass when a gateway or its database is available again. */
const PASSING = ['NO_ANSWER', 'RATE_LIMITED', 'INTERNAL']
const PASSING_TRIES = 60
const PASSING_WAIT_MS = 1_000

/**
 * Emits every event that ends, once for each end and in order, for as long as the view is open. A live query holds the latest events.
 * If more have ended at once, the others are read. Rejects when reading fails, and never resolves.
 *
 * @param beginning without it, only events that end from now on
 * @param page how many ends the live query holds
 */
export function followEvents(
  view: FleetView,
  filter: Record<string, unknown>,
  beginning: Beginning | undefined,
  emit: (event: EventRow) => void,
  page: number = QUERY_LIMITS.rows,
): Promise<never> {
  const from = beginning?.processedAt ?? new Date(view.now() - LATE_MS).toISOString()
  const log = new EndLog(from, emit)
  const query = {
    collection: 'events',
    filter: { ...filter, processedAt: { $gte: from } },
    sort: { processedAt: -1 },
    limit: page,
  } as const
  const isNew = ({ _id, processedAt }: EventRow): boolean =>
    beginning === undefined || processedAt !== from || !beginning.ids.has(_id)

  /** Reads page by page, from the date up to which the log is complete. */
  const readRest = async (): Promise<void> => {
    let place: Record<string, unknown> = { processedAt: { $gte: log.floor } }
    for (;;) {
      const sort = { processedAt: 1, _id: 1 } as const
      const query = { collection: 'events', filter: { $and: [filter, place] }, sort, limit: page } as const
      const rows = await patiently(() => view.rows(query))
      log.emit(rows.filter(isNew))
      const last = rows.at(-1)
      if (last === undefined || rows.length < page) return
      const { processedAt, _id } = last
      place = { $or: [{ processedAt: { $gt: processedAt } }, { processedAt, _id: { $gt: _id } }] }
    }
  }
  let started = beginning !== undefined
  const look = async (rows: readonly EventRow[]): Promise<void> => {
    const oldest = rows.length === page ? rows.at(-1)! : undefined
    if (!started) log.skip(rows, oldest)
    else if (oldest !== undefined && !log.knows(oldest)) await readRest()
    started = true
    log.emit(rows.filter(isNew))
  }
  return new Promise((_, reject) => {
    let last: Promise<unknown> = Promise.resolve()
    const watching = view.watchRows(query, (rows) => {
      // One after the other, to keep the order while events are read.
      last = last.then(() => look(rows))
      last.catch(reject)
    })
    watching.catch(reject)
  })
}

/** Tries again after errors that pass, since a log may be followed for days. */
async function patiently<T>(read: () => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries += 1) {
    try {
      return await read()
    } catch (error) {
      if (!(error instanceof FleetError && PASSING.includes(error.code)) || tries === PASSING_TRIES) throw error
      await sleep(PASSING_WAIT_MS)
    }
  }
}

/** The ends that were emitted. An event whose task is retried ends again, and is emitted again. */
class EndLog {
  readonly #emit: (event: EventRow) => void
  readonly #known = new Map<string, string>()
  #floor: string

  constructor(floor: string, emit: (event: EventRow) => void) {
    this.#floor = floor
    this.#emit = emit
  }

  /** The log is complete up to this date. An earlier event that shows up takes the place of a removed one. */
  get floor(): string {
    return this.#floor
  }

  knows(event: EventRow): boolean {
    return this.#known.has(keyOf(event)) || event.processedAt! < this.#floor
  }

  /** @param oldest the oldest row of a full window, which may not hold all */
  skip(events: readonly EventRow[], oldest: EventRow | undefined): void {
    for (const event of events) this.#known.set(keyOf(event), event.processedAt!)
    if (oldest !== undefined) this.#raise(oldest.processedAt!)
  }

  emit(events: readonly EventRow[]): void {
    const news = events.filter((event) => !this.knows(event)).sort(byEnd)
    for (const event of news) {
      this.#known.set(keyOf(event), event.processedAt!)
      this.#emit(event)
    }
    const latest = news.at(-1)
    if (latest !== undefined) this.#raise(new Date(Date.parse(latest.processedAt!) - LATE_MS).toISOString())
  }

  #raise(floor: string): void {
    if (floor <= this.#floor) return
    this.#floor = floor
    for (const [key, processedAt] of this.#known) if (processedAt < floor) this.#known.delete(key)
  }
}

const keyOf = ({ _id, processedAt }: EventRow): string => `${_id} ${processedAt}`

const byEnd = (one: EventRow, other: EventRow): number =>
  one.processedAt === other.processedAt
    ? one._id.localeCompare(other._id)
    : one.processedAt!.localeCompare(other.processedAt!)
