import { SIGNING_MODES } from '@taskfleet/core/internal'
import { FleetError, VERSION } from '@taskfleet/protocol'
import { Command, CommanderError, Option } from 'commander'
import { noteSources } from './address.ts'
import { bulkCommands } from './bulk.ts'
import { callbackCommands } from './callbacks.ts'
import { taskCommands } from './commands.ts'
import { completionCommands } from './completion.ts'
import { applyConfig, configPath } from './config.ts'
import { type DoctorCommand, doctor } from './doctor.ts'
import { downloadCommand } from './download.ts'
import { errorCommands } from './error-groups.ts'
import { eventCommands } from './events.ts'
import { EXIT, exitCodeOf } from './exit.ts'
import { fleetCommands } from './fleet-admin.ts'
import { keyCommands } from './keys.ts'
import { type CommandKit, commandKit, type Print } from './kit.ts'
import { operationCommands } from './operation-commands.ts'
import {
  parseAmount,
  parseConcurrency,
  parseCount,
  parseDuration,
  parseList,
  parseListen,
  parseServedQueues,
} from './options.ts'
import { reportCommands } from './reports.ts'
import { scheduleCommands } from './schedules.ts'
import { secretCommand, secretOptions } from './secret.ts'
import type { GatewayCommand, WorkerCommand } from './serve.ts'
import { storedTaskCommands } from './tasks.ts'
import { oneLine, printableAnswer } from './text.ts'
import { upkeepCommands } from './upkeep.ts'
import { watchCommand } from './watch.ts'

/** Runs one command and returns its exit code; writes the answer to stdout and errors to stderr. */
export async function runCli(argv: readonly string[]): Promise<number> {
  let code: number = EXIT.done
  const print: Print = (line) => {
    process.stdout.write(`${printableAnswer(line)}\n`)
  }
  // A reader such as `head` closes the pipe after it has read enough.
  if (!process.stdout.listeners('error').includes(onOutputError)) process.stdout.on('error', onOutputError)
  const act: CommandKit['act'] =
    (run) =>
    async (...args) => {
      code = await run(...args)
    }
  const program = makeProgram(act, print)
  try {
    const config = configPath(argv)
    if (config !== undefined) applyConfig(program, config)
    await program.parseAsync([...argv], { from: 'user' })
    return code
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.done : EXIT.usage
    const code = error instanceof FleetError ? ` (${error.code})` : ''
    process.stderr.write(`taskfleet: ${oneLine(error instanceof Error ? error.message : String(error))}${code}\n`)
    if (process.env.TASKFLEET_STACK && error instanceof Error)
      process.stderr.write(`${printableAnswer(String(error.stack))}\n`)
    return exitCodeOf(error)
  }
}

function onOutputError(error: NodeJS.ErrnoException): void {
  if (error.code === 'EPIPE') process.exit(EXIT.done)
  throw error
}

function makeProgram(act: CommandKit['act'], print: Print): Command {
  const program = new Command('taskfleet')
    .description('Run long tasks on any number of hosts with nothing but MongoDB, and watch every one of them live')
    .version(VERSION)
    .exitOverride()
    .showSuggestionAfterError()
    .configureOutput({ outputError: (text, write) => write(text) })
    .enablePositionalOptions()
    .hook('preAction', (_, command) => noteSources(command))
  const kit = commandKit(program, act, print)
  servingCommands(kit)
  storedTaskCommands(kit)
  downloadCommand(kit)
  watchCommand(kit)
  taskCommands(kit)
  bulkCommands(kit)
  reportCommands(kit)
  errorCommands(kit)
  fleetCommands(kit)
  upkeepCommands(kit)
  keyCommands(kit)
  eventCommands(kit)
  callbackCommands(kit)
  scheduleCommands(kit)
  operationCommands(kit)
  secretOptions(
    kit.json(
      'doctor',
      'check connection, replica set, clock, indexes, documents, change stream, secret and versions; with --server, what the gateway sees',
    ),
  )
    .option('--repair', 'repair invalid documents where that is safe, and print what was done')
    .action(act((options: DoctorCommand) => doctor(options, print)))
  secretCommand(program, kit)
  completionCommands(program, kit)
  return program
}

const goOn = (): undefined => undefined

/** Only these commands need a web server. The others start twice as fast without it. */
const loadServe = () => {
  // A serving process goes on after the reader of its output has ended.
  process.stdout.off('error', onOutputError).off('error', goOn).on('error', goOn)
  return import('./serve.ts')
}

function servingCommands({ command, act }: CommandKit): void {
  const serving = (name: string, description: string): Command =>
    secretOptions(command(name, description))
      .option('--public-url <url>', 'its public address, if it differs from --listen')
      .option('--base-path <path>', 'serve everything below this path, such as /fleet')
      .option(
        '--trust-proxy <addresses>',
        'proxies whose X-Forwarded headers count: addresses, networks such as 10.0.0.0/8, or loopback, separated by commas',
        parseList,
      )
      .option('--environment <name>', 'what people call the fleet, such as prod: the monitor shows it')
      .option('--name <name>', 'its name for people; the name of the host by default')
      .option(
        '--stop-with-parent',
        'stop when standard input ends; with a pipe as its input, this process never outlives the one that started it',
      )
  serving('worker', 'claim and run tasks until it is stopped')
    .requiredOption('--tasks <file>', 'a .ts, .js or .mjs file that exports tasks')
    .option('--queues <names>', 'which queues to serve; a:2,b runs at most 2 of a at once here', parseServedQueues, {
      names: ['default'],
      limits: {},
    })
    .option(
      '--concurrency <n|min-max|auto>',
      'how many tasks at once; auto and a range such as 2-8 follow memory and event loop',
      parseConcurrency,
      4,
    )
    .option(
      '--prefetch <n|auto>',
      'how many tasks to claim ahead of the slots; auto claims 100 ms of measured work, and 0 none',
      (text: string) => (text === 'auto' ? text : parseAmount(text)),
      'auto',
    )
    .option(
      '--secrets-dir <dir>',
      'files with the secrets that inputs name by {"secret":"name"}; TASKFLEET_SECRET_<NAME> comes first',
    )
    .addOption(
      new Option('--signing <mode>', 'what to do with tasks without a trusted signature: run, warn and run, or fail')
        .choices(SIGNING_MODES)
        .default('off')
        .env('TASKFLEET_SIGNING'),
    )
    .option('--gate <json>', 'the load above which tasks wait, such as {"memoryLeft":{"lazy":0.2,"all":0.05}}')
    .option('--listen <host:port>', 'serve its gateway and task sockets here; port 0 picks a free one', parseListen)
    .option('--lease <ms>', 'how long a claim is valid without renewal', parseCount, 8_000)
    .option(
      '--grace <duration>',
      'how long running tasks may go on after SIGTERM before they are released',
      parseDuration,
      '10s',
    )
    .option(
      '--stop-timeout <duration>',
      'how long stopping may take in total; then the process ends. 15s more than --grace by default',
      parseDuration,
    )
    .option('--error-webhook <url>', 'where recurring errors are reported, signed with TASKFLEET_WEBHOOK_SECRET')
    .option('--error-threshold <n>', 'report an error from this many failures on; 3 by default', parseCount)
    .option('--error-period <duration>', 'report each error at most once in this time; 1h by default', parseDuration)
    .option('--ipc', 'send events to the parent process, and let it run the tasks with notify: true')
    .action(act(async (options: WorkerCommand) => (await loadServe()).serveWorker(options)))
  serving('gateway', 'serve the monitor, live queries and commands without running tasks')
    .option('--listen <host:port>', 'where; port 0 picks a free one', parseListen, { host: '127.0.0.1', port: 4100 })
    .addOption(
      new Option(
        '--attention-webhook <urls>',
        'where it is posted when something urgent begins and ends, signed with TASKFLEET_WEBHOOK_SECRET; several with commas',
      )
        .argParser(parseList)
        .env('TASKFLEET_ATTENTION_WEBHOOK'),
    )
    .action(act(async (options: GatewayCommand) => (await loadServe()).serveGateway(options)))
}
