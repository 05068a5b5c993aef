import { compileQuery, parseId, parseNewTask } from '@taskfleet/core/internal'
import { type Duration, type EnqueueRequest, FleetError, IF_FAILED, parseJson, STATUSES } from '@taskfleet/protocol'
import { Option } from 'commander'
import { type BudgetOptions, budgetChanges } from './budget-options.ts'
import { EXIT } from './exit.ts'
import type { CommandKit, Print } from './kit.ts'
import { type CommonOptions, parseCount, parseDuration, parseList, parsePriorityText, readJson } from './options.ts'
import { fieldLines, printable, printableJson, progressText, table } from './text.ts'
import { findTask, withFleet } from './with-fleet.ts'

/** The commands that store tasks and show them. */
export function storedTaskCommands({ json, act, print }: CommandKit): void {
  json('enqueue', 'store a task; prints its id', undefined, { keyFlag: '--server-key' })
    .argument('<name>')
    .argument('[json]', 'its input; @FILE or - for stdin', '{}')
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
    .option('--after <ids>', 'only when these tasks have completed: ID, or ID,ID up to 100', parseList)
    .addOption(
      new Option('--if-failed <what>', 'what it does when one of those fails; fail by default').choices([...IF_FAILED]),
    )
    .option('--max-attempts <n>', 'the most failed attempts, 1-50; 5 by default', parseCount)
    .option('--retry <json>', 'when it is tried again, such as {"counts":"without-progress","backoff":{"base":"5s"}}')
    .option('--timeout <duration>', 'how long one attempt may take', parseDuration)
    .option('--total-timeout <duration>', 'how long it may take in all, from its first attempt on', parseDuration)
    .option('--stall <duration>', 'how long an attempt may report nothing new', parseDuration)
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

interface EnqueueCommand extends CommonOptions, BudgetOptions {
  priority?: number | string
  runAt?: string
  deadline?: string
  front?: boolean
  lazy?: boolean
  key?: string
  /** The gateway's. */
  serverKey?: string
  keyPolicy?: string
  debounce?: Duration
  throttle?: Duration
  queue?: string
  after?: string[]
  ifFailed?: string
  maxAttempts?: number
  taskVersion?: number
}

/** A key of a gateway, which nobody means to store with a task. */
const GATEWAY_KEY = /^tf_[0-9a-f]{12}_/

/** `--key` is the task's here. */
const gatewayOptions = ({ key: _, serverKey, ...options }: EnqueueCommand): CommonOptions =>
  serverKey === undefined ? options : { ...options, key: serverKey }

/** `taskfleet enqueue NAME JSON` */
async function enqueue(name: string, json: string, options: EnqueueCommand, print: Print): Promise<number> {
  const { priority, runAt, deadline, front, lazy, key, keyPolicy, debounce, throttle } = options
  const { queue, after, ifFailed, maxAttempts, taskVersion: version } = options
  const position = front === true ? 'front' : undefined
  const given = Object.entries({
    ...{ priority, runAt, deadline, lazy, position, queue, after, ifFailed, maxAttempts, version },
    ...{ key, keyPolicy, debounce, throttle },
    ...budgetChanges(options),
  }).filter(([, value]) => value !== undefined)
  if (key !== undefined && GATEWAY_KEY.test(key)) {
    const remedy = "give a gateway's key by --server-key, TASKFLEET_KEY or --key-file"
    throw new FleetError('BAD_REQUEST', `'--key' is the task's, by which it is unique: ${remedy}`)
  }
  const asked = { ...Object.fromEntries(given), name, input: await readJson(json, 'The input') }
  // Mistakes are told before anything is connected to.
  const request: EnqueueRequest = { ...asked, _id: parseNewTask(asked)._id.toHexString() }
  return withFleet(gatewayOptions(options), async (fleet) => {
    const stored = await fleet.tasks.enqueue(request)
    print(options.json === true ? printableJson(stored) : stored._id)
    if (stored.served === false && options.json !== true) {
      const type = `'${stored.name}' version ${stored.version}`
      process.stderr.write(
        `taskfleet: ${printable(`no live worker serves ${type} in the queue '${stored.queue}' yet; the task waits for one`)}\n`,
      )
    }
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
  const given = options.filter === undefined ? {} : { $and: [parseJson(options.filter, '--filter')] }
  const filter = { ...asked, ...given }
  const query = { collection: 'tasks', filter, limit: options.limit, sort: { createdAt: -1 } } as const
  // Mistakes are told before anything is connected to.
  compileQuery(query)
  return withFleet(options, async (_, view) => {
    const rows = await view.rows(query)
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
  const wanted = parseId(id).toHexString()
  return withFleet(options, async (_, view) => {
    const row = await findTask(view, wanted)
    print(options.json === true ? printableJson(row) : fieldLines(row))
    return EXIT.done
  })
}
