import { FleetError, SCOPES, STATUSES } from '@taskfleet/core'
import { Command, CommanderError, Option } from 'commander'
import { VERSION } from '../version.ts'
import { doctor } from './doctor.ts'
import { EXIT, exitCodeOf } from './exit.ts'
import { createKey, listKeys, revokeKey } from './keys.ts'
import { parseConcurrency, parseCount, parseDuration, parseList, parseListen } from './options.ts'
import type { GatewayCommand, WorkerCommand } from './serve.ts'
import { cancel, enqueue, list, show, watch } from './tasks.ts'
import { oneLine } from './text.ts'

/** Runs one command and returns its exit code; writes the answer to stdout and errors to stderr. */
export async function runCli(argv: readonly string[]): Promise<number> {
  let code: number = EXIT.done
  const print = (line: string): void => {
    process.stdout.write(`${line}\n`)
  }
  // A reader that has seen enough, such as `head`, closes the pipe.
  if (!process.stdout.listeners('error').includes(onOutputError)) process.stdout.on('error', onOutputError)
  const act =
    <Args extends unknown[]>(run: (...args: Args) => Promise<number>) =>
    async (...args: Args): Promise<void> => {
      code = await run(...args)
    }
  const program = makeProgram(act, print)
  try {
    await program.parseAsync([...argv], { from: 'user' })
    return code
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.done : EXIT.usage
    const code = error instanceof FleetError ? ` (${error.code})` : ''
    process.stderr.write(`taskfleet: ${oneLine(error instanceof Error ? error.message : String(error))}${code}\n`)
    if (process.env.TASKFLEET_STACK && error instanceof Error) process.stderr.write(`${error.stack}\n`)
    return exitCodeOf(error)
  }
}

function onOutputError(error: NodeJS.ErrnoException): void {
  if (error.code === 'EPIPE') process.exit(EXIT.done)
  throw error
}

/** Only what serves needs a web server; the others start twice as fast without. */
const loadServe = () => import('./serve.ts')

type Act = <Args extends unknown[]>(run: (...args: Args) => Promise<number>) => (...args: Args) => Promise<void>

function makeProgram(act: Act, print: (line: string) => void): Command {
  const program = new Command('taskfleet')
    .description('Run long tasks on any number of hosts with nothing but MongoDB, and watch every one of them live')
    .version(VERSION)
    .exitOverride()
    .showSuggestionAfterError()
    .configureOutput({ outputError: (text, write) => write(text) })
  const command = (name: string, description: string): Command =>
    program
      .command(name)
      .description(description)
      .exitOverride()
      .addOption(new Option('--mongo <uri>', 'the database').env('TASKFLEET_MONGO_URI'))
      .addOption(
        new Option('--log-level <level>', 'what is logged to stderr').choices([
          'debug',
          'info',
          'warn',
          'error',
          'silent',
        ]),
      )
  const jsonCommand = (name: string, description: string): Command =>
    command(name, description).option('--json', 'answer in JSON')

  command('worker', 'claim and run tasks until told to stop')
    .requiredOption('--tasks <file>', 'a .ts, .js or .mjs file that exports tasks')
    .option('--queues <names>', 'which queues to serve', parseList, ['default'])
    .option('--concurrency <n|auto>', 'how many tasks at once', parseConcurrency, 4)
    .option('--listen <host:port>', 'serve its gateway and task sockets here; port 0 picks a free one', parseListen)
    .option('--public-url <url>', 'how others reach it, when that is not where it listens')
    .option('--name <name>', "what people call it; the host's name by default")
    .option('--lease <ms>', 'how long a claim is good without renewal', parseCount, 8_000)
    .option(
      '--grace <duration>',
      'how long running tasks may go on after SIGTERM before they are given back',
      parseDuration,
      '10s',
    )
    .action(act(async (options: WorkerCommand) => (await loadServe()).serveWorker(options)))
  command('gateway', 'serve the monitor, live queries and commands without running tasks')
    .option('--listen <host:port>', 'where; port 0 picks a free one', parseListen, { host: '127.0.0.1', port: 4100 })
    .option('--public-url <url>', 'how others reach it, when that is not where it listens')
    .option('--name <name>', "what people call it; the host's name by default")
    .action(act(async (options: GatewayCommand) => (await loadServe()).serveGateway(options)))
  jsonCommand('enqueue', 'store a task; prints its id')
    .argument('<name>')
    .argument('[json]', 'its input', '{}')
    .option('--priority <1-10|low|medium|high>')
    .option('--run-at <date>', 'when it becomes active')
    .option('--deadline <date>')
    .option('--front', 'ahead of all that wait with the same priority')
    .option('--lazy', 'only while the machine is not overloaded')
    .option('--key <key>', 'unique among tasks that have not ended')
    .option('--queue <name>')
    .option('--after <id>', 'only when that task has completed')
    .option('--task-version <n>', 'the version that the input is written for', parseCount)
    .action(
      act((name: string, json: string, options: Parameters<typeof enqueue>[2]) => enqueue(name, json, options, print)),
    )
  jsonCommand('list', 'tasks, the newest first')
    .option('--status <names>', `which: ${STATUSES.join(', ')}`, parseList)
    .option('--name <name>')
    .option('--filter <json>', 'a filter as live queries take it')
    .option('--limit <n>', 'how many at most', parseCount, 50)
    .action(act((options: Parameters<typeof list>[0]) => list(options, print)))
  jsonCommand('show', 'everything about one task')
    .argument('<id>')
    .action(act((id: string, options: Parameters<typeof show>[1]) => show(id, options, print)))
  jsonCommand('watch', 'follow tasks live until they have ended')
    .argument('[id]')
    .option('--filter <json>', 'follow all that match')
    .action(
      act((id: string | undefined, options: Parameters<typeof watch>[1]) =>
        watch(id, options, print, process.stdout.isTTY === true),
      ),
    )
  jsonCommand('cancel', 'stop tasks, wherever they run')
    .argument('[ids...]')
    .option('--filter <json>', 'all that match')
    .option('--reason <text>')
    .option('--dry-run', 'only say which')
    .action(act((ids: string[], options: Parameters<typeof cancel>[1]) => cancel(ids, options, print)))
  jsonCommand('doctor', 'check connection, replica set, clock, indexes, change stream and versions').action(
    act((options: Parameters<typeof doctor>[0]) => doctor(options, print)),
  )
  const keys = program
    .command('keys')
    .description('make, list and revoke keys; with the first one the fleet is locked')
    .exitOverride()
  keyCommand(keys, 'create', 'make a key; prints its token, this once')
    .requiredOption('--name <name>', 'what it is for')
    .option('--scopes <scopes>', `what it may do: ${SCOPES.join(', ')}`, parseList, ['read'])
    .option('--queues <names>', 'only tasks in these queues', parseList)
    .option('--names <names>', 'only tasks of these names', parseList)
    .option('--expires <date>')
    .action(act((options: Parameters<typeof createKey>[0]) => createKey(options, print)))
  keyCommand(keys, 'list', 'every key, without its secret').action(
    act((options: Parameters<typeof listKeys>[0]) => listKeys(options, print)),
  )
  keyCommand(keys, 'revoke', 'end a key and the connections that it opened')
    .argument('<id>')
    .action(act((id: string, options: Parameters<typeof revokeKey>[1]) => revokeKey(id, options, print)))
  return program
}

function keyCommand(keys: Command, name: string, description: string): Command {
  return keys
    .command(name)
    .description(description)
    .exitOverride()
    .addOption(new Option('--mongo <uri>', 'the database').env('TASKFLEET_MONGO_URI'))
    .option('--json', 'answer in JSON')
}
