import { type Command, Help, Option } from 'commander'

export type Print = (line: string) => void

/** Groups of commands. `list` is the default command of each group. */
const GROUPS: Record<string, string> = {
  errors: 'recurring errors: failed attempts grouped by fingerprint',
  queues: 'list queues with their waiting and running tasks; pause, resume and limit them',
  keys: 'create, list, change and revoke keys, with the scope admin; the first key locks the fleet',
  events: 'past and future events; post events, follow them as a log',
  callbacks: 'rules that run a task when an event of a name arrives',
  schedules: 'tasks that run repeatedly, by cron or period',
}
const LISTS = '\nWithout a command: list, with its options.'

interface KitSettings {
  /** The option for the gateway's key, when `--key` means something else. */
  keyFlag?: '--server-key'
}

/** The parts of which every command is made. */
export interface CommandKit {
  /** Writes one line of the answer to stdout. */
  print: Print
  /** Wraps the action of a command, whose result becomes the exit code. */
  act: <Args extends unknown[]>(run: (...args: Args) => Promise<number>) => (...args: Args) => Promise<void>
  /** A command with the common options. `words` is its name, after its group's name if it has one. */
  command(words: string, description: string, settings?: KitSettings): Command
  /** The same with `--json`. */
  json(words: string, description: string, settings?: KitSettings): Command
  find(words: string): Command | undefined
}

const COMMON = 'Options of every command:'
const LOG_LEVELS = ['debug', 'info', 'warn', 'error', 'silent']

export function commandKit(program: Command, act: CommandKit['act'], print: Print): CommandKit {
  // Commands inherit it when they are created.
  program.configureHelp({
    groupItems: (all, shown, groupOf) => {
      const groups = new Help().groupItems(all, shown, groupOf)
      const common = groups.get(COMMON)
      if (common !== undefined && groups.delete(COMMON)) groups.set(COMMON, common)
      return groups
    },
  })
  const find = (words: string): Command | undefined =>
    words
      .split(' ')
      .reduce<Command | undefined>((parent, word) => parent?.commands.find((one) => one.name() === word), program)
  const groupOf = (word: string): Command =>
    find(word) ??
    program
      .command(word)
      .description(GROUPS[word] ?? word)
      .addHelpText('after', LISTS)
      .exitOverride()
  const command: CommandKit['command'] = (words, description, { keyFlag = '--key' } = {}) => {
    const [first, second] = words.split(' ') as [string, string?]
    const common = [
      new Option('--mongo <uri>', 'the database').env('TASKFLEET_MONGO_URI'),
      new Option('--db <name>', "the database's name; by default the path of the address, or taskfleet").env(
        'TASKFLEET_DB',
      ),
      new Option('--server <url>', 'a gateway, instead of the database').env('TASKFLEET_SERVER'),
      new Option(`${keyFlag} <key>`, "the gateway's key; - reads it from stdin").env('TASKFLEET_KEY'),
      new Option('--key-file <file>', 'a file with the key, which only its owner can read'),
      new Option('--config <file>', 'options in JSON').env('TASKFLEET_CONFIG'),
      new Option('--log-level <level>', 'what is logged to stderr').choices(LOG_LEVELS),
    ]
    const made =
      second === undefined ? program.command(first) : groupOf(first).command(second, { isDefault: second === 'list' })
    made.description(description).exitOverride()
    for (const option of common) made.addOption(option.helpGroup(COMMON))
    return made
  }
  return {
    print,
    act,
    find,
    command,
    json: (words, description, settings) => command(words, description, settings).option('--json', 'answer in JSON'),
  }
}
