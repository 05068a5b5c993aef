import {
  ChangeFeed,
  compileFilter,
  compileQuery,
  type Fleet,
  FleetError,
  hasEnded,
  LiveQueries,
  type ObjectId,
  parseId,
  parseNewTask,
  type TaskDocument,
  type TaskRow,
  taskModel,
  toFullRow,
  toRow,
} from '@taskfleet/core'
import { EXIT } from './exit.ts'
import { type CommonOptions, makeLog, parseJson } from './options.ts'
import { bar, printable, printableJson, progressText, table } from './text.ts'
import { withFleet } from './with-fleet.ts'

type Print = (line: string) => void

export interface EnqueueCommand extends CommonOptions {
  priority?: string
  runAt?: string
  deadline?: string
  front?: boolean
  lazy?: boolean
  key?: string
  queue?: string
  after?: string
  taskVersion?: number
}

/** `taskfleet enqueue NAME JSON` */
export function enqueue(name: string, json: string, options: EnqueueCommand, print: Print): Promise<number> {
  const { priority, runAt, deadline, front, lazy, key, queue, after, taskVersion } = options
  const number = priority === undefined ? undefined : Number(priority)
  const given = Object.entries({
    priority: number === undefined || Number.isNaN(number) ? priority : number,
    runAt,
    deadline,
    lazy,
    key,
    queue,
    after,
    version: taskVersion,
    position: front === true ? 'front' : undefined,
  }).filter(([, value]) => value !== undefined)
  const task = parseNewTask({ ...Object.fromEntries(given), name, input: parseJson(json, 'The input') })
  return withFleet(options, async (fleet) => {
    const [stored] = await fleet.store.enqueue([task])
    print(options.json === true ? printableJson(toFullRow('tasks', stored!)) : stored!._id.toHexString())
    return EXIT.done
  })
}

export interface ListCommand extends CommonOptions {
  status?: string[]
  name?: string
  filter?: string
  limit: number
}

/** `taskfleet list` */
export function list(options: ListCommand, print: Print): Promise<number> {
  const asked = {
    ...(options.status === undefined ? {} : { status: { $in: options.status } }),
    ...(options.name === undefined ? {} : { name: options.name }),
  }
  const filter = options.filter === undefined ? asked : { $and: [asked, parseJson(options.filter, '--filter')] }
  const query = compileQuery({ filter, limit: options.limit, sort: { createdAt: -1 } })
  return withFleet(options, async (fleet) => {
    const { filter, projection, sort, limit } = query
    const docs = await taskModel(fleet.database.connection)
      .collection.find(filter, { projection })
      .sort(sort)
      .limit(limit)
      .toArray()
    const rows = docs.map((doc) => toRow<TaskRow>('tasks', doc))
    if (options.json === true) print(printableJson(rows))
    else {
      const cells = rows.map((row) => [
        row._id,
        printable(String(row.status)),
        printable(String(row.name)),
        printable(String(row.queue)),
        printable(String(row.priority)),
        printable(String(row.attempt)),
        progressText(row),
      ])
      print(table(['ID', 'STATUS', 'NAME', 'QUEUE', 'PRIORITY', 'ATTEMPT', 'PROGRESS'], cells))
    }
    return EXIT.done
  })
}

/** `taskfleet show ID` */
export function show(id: string, options: CommonOptions, print: Print): Promise<number> {
  const wanted = parseId(id)
  return withFleet(options, async (fleet) => {
    const task = await findTask(fleet, wanted)
    const row = toFullRow<TaskRow>('tasks', task)
    if (options.json === true) print(printableJson(row))
    else
      for (const [field, value] of Object.entries(row))
        print(`${printable(field).padEnd(16)} ${typeof value === 'string' ? printable(value) : printableJson(value)}`)
    return EXIT.done
  })
}

export interface CancelCommand extends CommonOptions {
  filter?: string
  reason?: string
  dryRun?: boolean
}

/** `taskfleet cancel ID…|--filter JSON` */
export function cancel(ids: readonly string[], options: CancelCommand, print: Print): Promise<number> {
  if ((ids.length === 0) === (options.filter === undefined)) {
    throw new FleetError('BAD_FILTER', 'Name the tasks, or give --filter: one of the two')
  }
  const wanted = ids.map((id) => parseId(id))
  const filter = options.filter === undefined ? undefined : compileFilter(parseJson(options.filter, '--filter'))
  return withFleet(options, async (fleet) => {
    const tasks = taskModel(fleet.database.connection).collection
    const found =
      filter === undefined
        ? wanted
        : (
            await tasks
              .find(
                { $and: [filter, { status: { $nin: ['completed', 'failed', 'cancelled'] } }] },
                { projection: { _id: 1 } },
              )
              .toArray()
          ).map(({ _id }) => _id)
    const results: { id: string; status: string }[] = []
    for (const id of found) {
      const changed =
        options.dryRun === true ? await fleet.store.find(id) : await fleet.store.cancel(id, 'cli', options.reason)
      const status = changed?.status ?? (await fleet.store.find(id))?.status ?? 'not found'
      results.push({ id: id.toHexString(), status: changed?.control === undefined ? status : 'cancelling' })
    }
    if (options.json === true) print(printableJson(results))
    else for (const { id, status } of results) print(`${id}  ${status}`)
    if (results.some(({ status }) => status === 'not found')) return EXIT.notFound
    const tooLate = results.some(({ status }) => status === 'completed' || status === 'failed')
    return tooLate && options.dryRun !== true ? EXIT.conflict : EXIT.done
  })
}

export interface WatchCommand extends CommonOptions {
  filter?: string
}

/** `taskfleet watch ID|--filter JSON`: one line per change, or live bars on a terminal, until all have ended. */
export async function watch(
  id: string | undefined,
  options: WatchCommand,
  print: Print,
  terminal: boolean,
): Promise<number> {
  if ((id === undefined) === (options.filter === undefined))
    throw new FleetError('BAD_FILTER', 'Name a task, or give --filter: one of the two')
  const wanted = id === undefined ? undefined : parseId(id)
  const filter = wanted === undefined ? parseJson(options.filter!, '--filter') : { _id: wanted.toHexString() }
  if (filter === null) throw new FleetError('BAD_FILTER', "'--filter' is an object", { field: '--filter' })
  const query = compileQuery({ filter, sort: { _id: 1 }, limit: 200 })
  return withFleet(options, async (fleet) => {
    if (wanted !== undefined) await findTask(fleet, wanted)
    const log = makeLog(options.logLevel ?? 'error')
    const feed = new ChangeFeed(fleet.database, { log })
    await feed.start()
    const queries = new LiveQueries(fleet.database, feed, { log })
    try {
      return await new Promise<number>((resolve, reject) => {
        const show = makeShow(print, options.json === true, terminal)
        let rows = new Map<string, TaskRow>()
        const seen = (changed: readonly TaskRow[]): void => {
          for (const row of changed) rows.set(row._id, row)
          if (changed.length > 0) show([...rows.values()], changed)
          const all = [...rows.values()]
          if (all.length > 0 && all.every(({ status }) => hasEnded(status))) {
            resolve(all.every(({ status }) => status === 'completed') ? EXIT.done : EXIT.failed)
          }
        }
        /** Those that the filter no longer matches: what has ended counts, what goes on is no longer meant. */
        const left = async (ids: readonly string[]): Promise<void> => {
          for (const gone of ids) {
            const task = await fleet.store.find(parseId(gone))
            if (task !== null && hasEnded(task.status)) rows.set(gone, toRow<TaskRow>('tasks', { ...task }))
            else if (task === null || wanted === undefined) rows.delete(gone)
          }
          seen(ids.flatMap((gone) => rows.get(gone) ?? []))
          if (rows.size === 0) resolve(wanted === undefined ? EXIT.done : EXIT.failed)
        }
        process.once('SIGINT', () => resolve(EXIT.interrupted))
        queries
          .watch<TaskRow>(query, {
            delta: ({ added, changed, removed }) => {
              seen([...added, ...changed].map(({ row }) => row))
              if (removed.length > 0) left(removed).catch(reject)
            },
            reset: (reset) => {
              rows = new Map()
              seen(reset.rows)
            },
          })
          .then(({ live }) => seen(live.rows), reject)
      })
    } finally {
      queries.stop()
      await feed.stop()
    }
  })
}

function makeShow(
  print: Print,
  json: boolean,
  terminal: boolean,
): (all: readonly TaskRow[], changed: readonly TaskRow[]) => void {
  const line = (row: TaskRow): string =>
    `${row._id}  ${printable(String(row.status)).padEnd(9)}  ${bar(row.progress?.ratio ?? (row.status === 'completed' ? 1 : 0))}  ${printable(String(row.name))}  ${progressText(row)}`
  if (json) return (_all, changed) => changed.forEach((row) => print(printableJson(row)))
  if (!terminal) return (_all, changed) => changed.forEach((row) => print(line(row)))
  let drawn = 0
  return (all) => {
    // Up to the first bar, then each line anew.
    print(`${drawn > 0 ? `\u001b[${drawn}A` : ''}${all.map((row) => `\u001b[2K${line(row)}`).join('\n')}`)
    drawn = all.length
  }
}

async function findTask(fleet: Fleet, id: ObjectId): Promise<TaskDocument> {
  const task = await fleet.store.find(id)
  if (task === null) throw new FleetError('NOT_FOUND', `There is no task ${id.toHexString()}`, { field: 'id' })
  return task
}
