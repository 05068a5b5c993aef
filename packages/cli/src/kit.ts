import { type Command, type CommandOptions, Help, Option } from 'commander'

export type Print = (line: string) => void

/** Said by groups that list what they have when no command is named. */
export const LISTS = '\nWithout a command: list, and its options are taken.'

interface KitSettings extends CommandOptions {
  /** What the gateway's key is called where `--key` means something else. */
  keyFlag?: '--server-key'
}

/** What every command is made with. */
export interface CommandKit {
  /** Writes one line of the answer to stdout. */
  print: Print
  /** Wraps what a command does, so that what it returns becomes the exit code. */
  act: <Args extends unknown[]>(run: (...args: Args) => Promise<number>) => (...args: Args) => Promise<void>
  /** A command with the options that all have; of the program, or of a group. */
  command(name: string, description: string, group?: Command, settings?: KitSettings): Command
  /** One that can answer in JSON. */
  json(name: string, description: string, group?: Command, settings?: KitSettings): Command
  /** A name that holds several commands, of which `list` may be the one that is meant without a name. */
  group(name: string, description: string): Command
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
  const command: CommandKit['command'] = (
    name,
    description,
    group = program,
    { keyFlag = '--key', ...settings } = {},
  ) => {
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
    const made = group.command(name, settings).description(description).exitOverride()
    for (const option of common) made.addOption(option.helpGroup(COMMON))
    return made
  }
  return {
    print,
    act,
    command,
    json: (name, description, group, settings) =>
      command(name, description, group, settings).option('--json', 'answer in JSON'),
    group: (name, description) => program.command(name).description(description).exitOverride(),
  }
}
