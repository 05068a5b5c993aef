import { compileQuery, parseId, parseNewTask, STATUSES, type TaskRow, toFullRow, toRow } from '@taskfleet/core'
import type { Duration } from '@taskfleet/core/protocol'
import { Option } from 'commander'
import { EXIT } from './exit.ts'
import type { CommandKit, Print } from './kit.ts'
import { type CommonOptions, parseCount, parseDuration, parseJson, parseList, parsePriorityText } from './options.ts'
import { printable, printableJson, progressText, table } from './text.ts'
import { findTask, withFleet } from './with-fleet.ts'

/** The commands that store tasks and show them. */
export function storedTaskCommands({ json, act, print }: CommandKit): void {
  json('enqueue', 'store a task; prints its id')
    .argument('<name>')
    .argument('[json]', 'its input', '{}')
    .option('--priority <1-10|low|medium|high>', 'higher first; medium by default', parsePriorityText)
    .option('--run-at <date>', 'when it becomes active')
    .option('--deadline <date>', 'it is raised when this comes near, and once more when it is reached')
    .option('--front', 'ahead of all that wait with the same priority')
    .option('--lazy', 'only while the machine is not overloaded')
    .option('--key <key>', 'unique among tasks that have not ended')
    .addOption(
      new Option(
        '--key-policy <policy>',
        'when the key is taken: refuse, give that task, or put this in its place',
      ).choices(['reject', 'return', 'replace']),
    )
    .option('--debounce <duration>', 'runs so long after the last request with this --key', parseDuration)
    .option('--throttle <duration>', 'at most one task with this --key in this time', parseDuration)
    .option('--queue <name>', 'where it waits; default by default')
    .option('--after <id>', 'only when that task has completed')
    .option('--max-attempts <n>', 'the most failed attempts, 1-50; 5 by default', parseCount)
    .option('--task-version <n>', 'the version that the input is written for', parseCount)
    .action(act((name: string, input: string, options: EnqueueCommand) => enqueue(name, input, options, print)))
  json('list', 'tasks, the newest first')
    .option('--status <names>', `which: ${STATUSES.join(', ')}`, parseList)
    .option('--name <name>', 'only tasks of this name')
    .option('--filter <json>', 'a filter as live queries take it')
    .option('--limit <n>', 'how many at most', parseCount, 50)
    .action(act((options: ListCommand) => list(options, print)))
  json('show', 'everything about one task')
    .argument('<id>')
    .action(act((id: string, options: CommonOptions) => show(id, options, print)))
}

interface EnqueueCommand extends CommonOptions {
  priority?: number | string
  runAt?: string
  deadline?: string
  front?: boolean
  lazy?: boolean
  key?: string
  keyPolicy?: string
  debounce?: Duration
  throttle?: Duration
  queue?: string
  after?: string
  maxAttempts?: number
  taskVersion?: number
}

/** `taskfleet enqueue NAME JSON` */
function enqueue(name: string, json: string, options: EnqueueCommand, print: Print): Promise<number> {
  const { priority, runAt, deadline, front, lazy, key, keyPolicy, debounce, throttle } = options
  const { queue, after, maxAttempts, taskVersion: version } = options
  const position = front === true ? 'front' : undefined
  const given = Object.entries({
    ...{ priority, runAt, deadline, lazy, position, queue, after, maxAttempts, version },
    ...{ key, keyPolicy, debounce, throttle },
  }).filter(([, value]) => value !== undefined)
  const task = parseNewTask({ ...Object.fromEntries(given), name, input: parseJson(json, 'The input') })
  return withFleet(options, async (fleet) => {
    const [stored] = await fleet.store.enqueue([task])
    print(options.json === true ? printableJson(toFullRow('tasks', stored!)) : stored!._id.toHexString())
    return EXIT.done
  })
}

interface ListCommand extends CommonOptions {
  status?: string[]
  name?: string
  filter?: string
  limit: number
}

/** `taskfleet list` */
function list(options: ListCommand, print: Print): Promise<number> {
  const asked = {
    ...(options.status === undefined ? {} : { status: { $in: options.status } }),
    ...(options.name === undefined ? {} : { name: options.name }),
  }
  const filter = options.filter === undefined ? asked : { $and: [asked, parseJson(options.filter, '--filter')] }
  const query = compileQuery({ filter, limit: options.limit, sort: { createdAt: -1 } })
  return withFleet(options, async (fleet) => {
    const { filter, projection, sort, limit } = query
    const docs = await fleet.tasks.find(filter, { projection }).sort(sort).limit(limit).toArray()
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
function show(id: string, options: CommonOptions, print: Print): Promise<number> {
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
