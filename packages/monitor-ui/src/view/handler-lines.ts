import type { CoverageRow, HandlerRow, HistoryRow } from '@taskfleet/protocol'

/** A `name@version` with who serves it and what waits. */
export interface HandlerLine {
  /** `name@version`. */
  type: string
  name: string
  version: number
  queues: string[]
  /** Names of the live workers that run it. */
  workers: string[]
  /** Queues with such tasks, or with something that makes them, in which no live worker runs it. */
  unserved: string[]
  waiting: number
  /** How many of the waiting tasks are due. */
  due: number
  running: number
  oldest: string | undefined
  /** The names of schedules. */
  schedules: string[]
  callbacks: number
}

/** Every version that live workers have, or that waits, runs or will be made. What nobody serves comes first. */
export function handlerLines(handlers: readonly HandlerRow[], coverage: readonly CoverageRow[]): HandlerLine[] {
  const lines = new Map<string, HandlerLine>()
  const lineOf = (name: string, version: number): HandlerLine => {
    const type = `${name}@${version}`
    const known = lines.get(type)
    if (known !== undefined) return known
    const nothing = { waiting: 0, due: 0, running: 0, oldest: undefined, callbacks: 0 }
    const made = { type, name, version, queues: [], workers: [], unserved: [], schedules: [], ...nothing }
    lines.set(type, made)
    return made
  }
  for (const { name, version, queues, workers } of handlers) {
    const line = lineOf(name, version)
    line.queues.push(...queues)
    line.workers.push(...workers)
  }
  for (const row of coverage) {
    const line = lineOf(row.name, row.version)
    line.queues = union(line.queues, [row.queue])
    line.workers = union(line.workers, row.workers)
    if (!row.served) line.unserved.push(row.queue)
    line.waiting += row.waiting
    line.due += row.due
    line.running += row.running
    if (row.oldest !== undefined && (line.oldest === undefined || row.oldest < line.oldest)) line.oldest = row.oldest
    line.schedules = union(line.schedules, row.schedules)
    line.callbacks += row.callbacks
  }
  return [...lines.values()].sort(
    (a, b) =>
      Number(b.unserved.length > 0) - Number(a.unserved.length > 0) ||
      a.name.localeCompare(b.name) ||
      a.version - b.version,
  )
}

const union = (a: readonly string[], b: readonly string[]): string[] => [...new Set([...a, ...b])]

/** What ended of one name. */
export interface Ended {
  /** Attempts. */
  count: number
  failed: number
  /** Run times in milliseconds, estimated; undefined without an attempt that ran. */
  p50: number | undefined
  p95: number | undefined
}

/** The roll-ups of a time, summed for each name. */
export function endedByName(history: readonly HistoryRow[]): ReadonlyMap<string, Ended> {
  const names = [...new Set(history.map(({ name }) => name))]
  return new Map(names.map((name) => [name, summed(history.filter((row) => row.name === name))]))
}

function summed(rows: readonly HistoryRow[]): Ended {
  const attempts = rows.filter(({ outcome }) => outcome !== 'none')
  const total = (some: readonly HistoryRow[]): number => some.reduce((sum, { count }) => sum + count, 0)
  const runs = attempts.flatMap(({ runMs }) => stepsOf(runMs))
  return {
    count: total(attempts),
    failed: total(attempts.filter(({ outcome }) => outcome === 'failed')),
    p50: quantileOf(runs, 0.5),
    p95: quantileOf(runs, 0.95),
  }
}

interface Runs {
  count: number
  /** Which share of the runs took at most how many milliseconds, from 0 to 1. */
  steps: readonly [ms: number, share: number][]
}

function stepsOf({ count, p50, p95, p99 }: HistoryRow['runMs']): Runs[] {
  if (p50 === undefined || p95 === undefined) return []
  return [
    {
      count,
      steps: [
        [0, 0],
        [p50, 0.5],
        [p95, 0.95],
        [p99 ?? p95, 1],
      ],
    },
  ]
}

/** The least whole number of milliseconds in which `part` of all runs ended, if those of a roll-up lie evenly between its percentiles. */
function quantileOf(runs: readonly Runs[], part: number): number | undefined {
  if (runs.length === 0) return undefined
  const wanted = part * runs.reduce((sum, { count }) => sum + count, 0)
  const within = (ms: number): number => runs.reduce((sum, one) => sum + one.count * shareWithin(one, ms), 0)
  let [low, high] = [0, Math.ceil(Math.max(...runs.map(({ steps }) => steps.at(-1)?.[0] ?? 0)))]
  while (low < high) {
    const middle = Math.floor((low + high) / 2)
    // Sums of decimal parts may fall just below.
    if (within(middle) >= wanted - 1e-6) high = middle
    else low = middle + 1
  }
  return low
}

function shareWithin({ steps }: Runs, ms: number): number {
  const above = steps.findIndex(([limit]) => limit > ms)
  if (above === -1) return 1
  const [[start, from], [end, to]] = [steps[above - 1]!, steps[above]!]
  return from + ((to - from) * (ms - start)) / (end - start)
}
