import { type Command, Help, Option } from 'commander'

export type Print = (line: string) => void

/** The names that hold several commands, of which `list` is meant without a name. */
const GROUPS: Record<string, string> = {
  errors: 'recurring errors: failed attempts grouped by fingerprint',
  queues: 'what waits and runs in each queue; pause, resume and limit them',
  keys: 'create, list, change and revoke keys, with the scope admin; the first key locks the fleet',
  events: 'what happened and will happen; post events, follow them as a log',
  callbacks: 'which task runs when an event of a name arrives',
  schedules: 'which task runs when, again and again',
}
const LISTS = '\nWithout a command: list, with its options.'

interface KitSettings {
  /** What the gateway's key is called where `--key` means something else. */
  keyFlag?: '--server-key'
}

/** What every command is made with. */
export interface CommandKit {
  /** Writes one line of the answer to stdout. */
  print: Print
  /** Wraps what a command does, so that what it returns becomes the exit code. */
  act: <Args extends unknown[]>(run: (...args: Args) => Promise<number>) => (...args: Args) => Promise<void>
  /** A command with the options that all have. Before its last word stands that of its group. */
  command(words: string, description: string, settings?: KitSettings): Command
  /** One that can answer in JSON. */
  json(words: string, description: string, settings?: KitSettings): Command
  find(words: string): Command | undefined
}

const COMMON = 'Options of every command:'
const LOG_LEVELS = ['debug', 'info', 'warn', 'error', 'silent']

export function commandKit(program: Command, act: CommandKit['act'], print: Print): CommandKit {
  // Before any command is made, which takes it over.
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
      new Option('--db <name>', "the database's name; the address's own path otherwise, or taskfleet").env(
        'TASKFLEET_DB',
      ),
      new Option('--server <url>', 'a gateway in its place').env('TASKFLEET_SERVER'),
      new Option(`${keyFlag} <key>`, "the gateway's key; - reads it from stdin").env('TASKFLEET_KEY'),
      new Option('--key-file <file>', 'which holds the key and is readable by its owner only'),
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
