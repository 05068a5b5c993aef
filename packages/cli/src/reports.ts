import { setTimeout as sleep } from 'node:timers/promises'
import { parseId } from '@taskfleet/core/internal'
import { type CoverageRow, FleetError, type FleetOperations, hasEnded, type StoredLogLine } from '@taskfleet/protocol'
import { EXIT } from './exit.ts'
import type { CommandKit, Print } from './kit.ts'
import { type CommonOptions, parseCount } from './options.ts'
import { printable, printableJson, table } from './text.ts'
import { findTask, withFleet } from './with-fleet.ts'

/** The commands that say why, what and who, and change nothing. */
export function reportCommands(kit: CommandKit): void {
  const { act, print } = kit
  kit
    .json('explain', 'why a task does not run')
    .argument('<id>')
    .action(act((id: string, options: CommonOptions) => explain(id, options, print)))
  kit
    .json('coverage', 'which name@version waits and who serves it; ends with 1 when something due is served by nobody')
    .action(act((options: CommonOptions) => coverage(options, print)))
  kit
    .json('log', "a task's stored log lines, the newest last")
    .argument('<id>')
    .option('--attempt <n>', 'only of this attempt', parseCount)
    .option('--follow', 'go on with what comes, until the task has ended')
    .option('--limit <n>', 'how many at most, the newest; with --follow to begin with', parseCount, 500)
    .action(act((id: string, options: LogCommand) => log(id, options, print)))
  kit
    .json('audit', 'who did what, the newest first')
    .argument('[id]', 'only what was done to this task')
    .option('--limit <n>', 'how many at most', parseCount, 100)
    .action(act((id: string | undefined, options: AuditCommand) => audit(id, options, print)))
}

/** `taskfleet explain ID` */
function explain(id: string, options: CommonOptions, print: Print): Promise<number> {
  const wanted = parseId(id).toHexString()
  return withFleet(options, async (fleet) => {
    const explanation = await fleet.tasks.explain(wanted)
    if (options.json === true) print(printableJson(explanation))
    else for (const { message } of explanation.reasons) print(printable(message))
    return EXIT.done
  })
}

/** `taskfleet coverage`: for deploy scripts too, hence the exit code. */
function coverage(options: CommonOptions, print: Print): Promise<number> {
  return withFleet(options, async (fleet) => {
    const rows = await fleet.tasks.coverage()
    if (options.json === true) print(printableJson(rows))
    else {
      const cells = rows.map(
        ({ queue, name, version, waiting, due, running, oldest = '', workers, schedules, callbacks }) => [
          printable(`${name}@${version}`),
          printable(queue),
          String(waiting),
          String(due),
          String(running),
          oldest,
          workers.length === 0 ? 'NOBODY' : printable([...new Set(workers)].join(', ')),
          printable([...schedules, ...(callbacks === 0 ? [] : [`${callbacks} callbacks`])].join(', ')),
        ],
      )
      print(table(['TASK', 'QUEUE', 'WAITING', 'DUE', 'RUNNING', 'OLDEST', 'SERVED BY', 'MADE BY'], cells))
    }
    return rows.some(isAtRisk) ? EXIT.failed : EXIT.done
  })
}

/** Something is due, or will be made, and nobody serves it. */
const isAtRisk = ({ due, served, schedules, callbacks }: CoverageRow): boolean =>
  !served && (due > 0 || schedules.length > 0 || callbacks > 0)

interface LogCommand extends CommonOptions {
  attempt?: number
  follow?: boolean
  limit: number
}

const FOLLOW_MS = 1_000
const LOG_LIMIT = 2_000

/** `taskfleet log ID` */
function log(id: string, { attempt, follow = false, limit, json = false, ...options }: LogCommand, print: Print) {
  const wanted = parseId(id).toHexString()
  if (limit > LOG_LIMIT) throw new FleetError('OUT_OF_RANGE', `'--limit' is at most ${LOG_LIMIT}`, { field: '--limit' })
  const interrupted = new AbortController()
  if (follow) process.once('SIGINT', () => interrupted.abort())
  return withFleet(options, async (fleet, view) => {
    const asked = { id: wanted, ...(attempt === undefined ? {} : { attempt }) }
    const show = (lines: readonly StoredLogLine[]): void => {
      for (const line of lines) print(json ? printableJson(line) : logLine(line))
    }
    let task = await findTask(view, wanted)
    const first = await fleet.tasks.log({ ...asked, limit })
    if (!follow && json) print(printableJson(first))
    else show(first)
    if (!follow) return EXIT.done
    let last = first.at(-1)
    for (let ended = false; !ended; ) {
      // The last lines are stored after the end: what has ended is looked at once more.
      ended = hasEnded(task.status)
      await sleep(FOLLOW_MS, undefined, { signal: interrupted.signal }).catch(() => undefined)
      if (interrupted.signal.aborted) return EXIT.interrupted
      const news = await linesAfter(last, asked, fleet)
      show(news)
      last = news.at(-1) ?? last
      if (!ended) task = await findTask(view, wanted)
    }
    return EXIT.done
  })
}

/** What was stored since a line, however much that is. */
async function linesAfter(
  last: StoredLogLine | undefined,
  asked: { id: string; attempt?: number },
  { tasks }: FleetOperations,
): Promise<StoredLogLine[]> {
  const isNew = ({ attempt, seq }: StoredLogLine): boolean =>
    last === undefined || attempt > last.attempt || (attempt === last.attempt && seq > last.seq)
  const news: StoredLogLine[] = []
  for (;;) {
    const before = news[0]
    const page = await tasks.log({ ...asked, limit: LOG_LIMIT, ...(before === undefined ? {} : { before }) })
    const fresh = page.filter(isNew)
    news.unshift(...fresh)
    if (fresh.length < page.length || page.length < LOG_LIMIT) return news
  }
}

const logLine = ({ at, attempt, level, message }: StoredLogLine): string =>
  `${printable(at)}  ${attempt}  ${printable(level).padEnd(5)}  ${printable(message)}`

interface AuditCommand extends CommonOptions {
  limit: number
}

/** `taskfleet audit [ID]` */
function audit(id: string | undefined, { limit, ...options }: AuditCommand, print: Print): Promise<number> {
  const wanted = id === undefined ? {} : { id: parseId(id).toHexString() }
  return withFleet(options, async (fleet) => {
    const entries = await fleet.audit.list({ ...wanted, limit })
    if (options.json === true) print(printableJson(entries))
    else {
      const cells = entries.map(({ at, by, action, matched, changed, target, tasks, filter, refused, reason = '' }) => [
        at,
        printable(by),
        printable(action),
        refused !== undefined ? `refused ×${matched}` : matched === 0 ? String(changed) : `${changed} of ${matched}`,
        printable(target ?? filter ?? (tasks.length > 1 ? `${tasks[0]} …` : (tasks[0] ?? ''))),
        printable(refused ?? reason),
      ])
      print(table(['AT', 'BY', 'ACTION', 'CHANGED', 'WHAT', 'REASON'], cells))
    }
    return EXIT.done
  })
}
