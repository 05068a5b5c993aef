import { setTimeout as sleep } from 'node:timers/promises'
import { type CoverageRow, FleetError, type FleetOperations, hasEnded, type StoredLogLine } from '@taskfleet/protocol'
import { given } from '@taskfleet/protocol/internal'
import { EXIT } from './exit.ts'
import type { CommandKit } from './kit.ts'
import { operationCommand } from './operation-commands.ts'
import { printable, printableJson, table } from './text.ts'

export function reportCommands(kit: CommandKit): void {
  operationCommand(kit, 'attention', 'list', {
    summary: 'list what needs somebody, the most urgent first; exits with 1 when anything does',
    text: (rows) =>
      rows.length === 0
        ? 'All is well'
        : table(
            ['URGENCY', 'SINCE', 'WHAT', 'WHY'],
            rows.map((row) => [row.urgency, row.since ?? '', row.subject, row.message].map(printable)),
          ),
    // For scripts that watch a fleet.
    exitCode: (rows) => (rows.length > 0 ? EXIT.failed : EXIT.done),
  })
  operationCommand(kit, 'tasks', 'explain', {
    text: ({ reasons }) => reasons.map(({ message }) => printable(message)).join('\n'),
  })
  operationCommand(kit, 'tasks', 'coverage', {
    summary:
      'list each name@version that waits with the workers that serve it; exits with 1 when no worker serves a due task',
    columns: {
      TASK: ({ name, version }) => `${name}@${version}`,
      QUEUE: (row) => row.queue,
      WAITING: (row) => row.waiting,
      DUE: (row) => row.due,
      RUNNING: (row) => row.running,
      OLDEST: (row) => row.oldest,
      'SERVED BY': ({ workers }) => (workers.length === 0 ? 'NOBODY' : [...new Set(workers)].join(', ')),
      'MADE BY': ({ schedules, callbacks }) =>
        [...schedules, ...(callbacks === 0 ? [] : [`${callbacks} callbacks`])].join(', '),
    },
    // For deploy scripts.
    exitCode: (rows) => (rows.some(isAtRisk) ? EXIT.failed : EXIT.done),
  })
  const log = operationCommand(kit, 'tasks', 'log', {
    summary: "a task's stored log lines, the newest last",
    hide: ['before'],
    defaults: { limit: 500 },
    prepare(request) {
      if (request.limit! <= LOG_LIMIT) return request
      throw new FleetError('OUT_OF_RANGE', `'--limit' is at most ${LOG_LIMIT}`, { field: '--limit' })
    },
    run({ tasks }, request, { options: { follow, json } }) {
      if (follow !== true) return undefined
      return followLog(tasks, request, (line) => kit.print(json === true ? printableJson(line) : logLine(line)))
    },
    text: (lines) => lines.map(logLine).join('\n'),
  })
  log.option('--follow', 'print new lines until the task has ended')
  operationCommand(kit, 'audit', 'list', {
    summary: 'who did what, the newest first',
    arguments: { '[id]': 'id' },
    defaults: { limit: 100 },
    columns: {
      AT: (entry) => entry.at,
      BY: (entry) => entry.by,
      ACTION: (entry) => entry.action,
      CHANGED: ({ refused, matched, changed }) =>
        refused !== undefined ? `refused ×${matched}` : matched === 0 ? changed : `${changed} of ${matched}`,
      WHAT: ({ target, filter, tasks }) => target ?? filter ?? (tasks.length > 1 ? `${tasks[0]} …` : tasks[0]),
      REASON: ({ refused, reason }) => refused ?? reason,
    },
  })
}

/** Something is due or will be created, and no worker serves it. */
const isAtRisk = ({ due, served, schedules, callbacks }: CoverageRow): boolean =>
  !served && (due > 0 || schedules.length > 0 || callbacks > 0)

const FOLLOW_MS = 1_000
const LOG_LIMIT = 2_000

interface LogRequest {
  id: string
  attempt?: number
  limit?: number
}

/** Emits the stored lines and new ones, until the task has ended or the command is interrupted. */
async function followLog(
  tasks: FleetOperations['tasks'],
  { limit, ...wanted }: LogRequest,
  emit: (line: StoredLogLine) => void,
): Promise<number> {
  const interrupted = new AbortController()
  process.once('SIGINT', () => interrupted.abort())
  let task = await tasks.show(wanted.id)
  const first = await tasks.log({ ...wanted, limit: limit! })
  first.forEach(emit)
  let last = first.at(-1)
  for (let ended = false; !ended; ) {
    // The last lines are stored after the task has ended, so they are read once more.
    ended = hasEnded(task.status)
    await sleep(FOLLOW_MS, undefined, { signal: interrupted.signal }).catch(() => undefined)
    if (interrupted.signal.aborted) return EXIT.interrupted
    const news = await linesAfter(last, wanted, tasks)
    news.forEach(emit)
    last = news.at(-1) ?? last
    if (!ended) task = await tasks.show(wanted.id)
  }
  return EXIT.done
}

/** All lines that were stored after a line. */
async function linesAfter(
  last: StoredLogLine | undefined,
  wanted: { id: string; attempt?: number },
  tasks: FleetOperations['tasks'],
): Promise<StoredLogLine[]> {
  const isNew = ({ attempt, seq }: StoredLogLine): boolean =>
    last === undefined || attempt > last.attempt || (attempt === last.attempt && seq > last.seq)
  const news: StoredLogLine[] = []
  for (;;) {
    const before = news[0]
    const page = await tasks.log({ ...wanted, limit: LOG_LIMIT, ...given({ before }) })
    const fresh = page.filter(isNew)
    news.unshift(...fresh)
    if (fresh.length < page.length || page.length < LOG_LIMIT) return news
  }
}

const logLine = ({ at, attempt, level, message }: StoredLogLine): string =>
  `${printable(at)}  ${attempt}  ${printable(level).padEnd(5)}  ${printable(message)}`
