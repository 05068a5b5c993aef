import { type Command, type CommandOptions, Option } from 'commander'

export type Print = (line: string) => void

/** Said by groups that list what they have when no command is named. */
export const LISTS = '\nWithout a command: list, and its options are taken.'

/** What every command is made with. */
export interface CommandKit {
  /** Writes one line of the answer to stdout. */
  print: Print
  /** Wraps what a command does, so that what it returns becomes the exit code. */
  act: <Args extends unknown[]>(run: (...args: Args) => Promise<number>) => (...args: Args) => Promise<void>
  /** A command with the options that all have; of the program, or of a group. */
  command(name: string, description: string, group?: Command, settings?: CommandOptions): Command
  /** One that can answer in JSON. */
  json(name: string, description: string, group?: Command, settings?: CommandOptions): Command
  /** A name that holds several commands, of which `list` may be the one that is meant without a name. */
  group(name: string, description: string): Command
}

export function commandKit(program: Command, act: CommandKit['act'], print: Print): CommandKit {
  const command: CommandKit['command'] = (name, description, group = program, settings = {}) =>
    group
      .command(name, settings)
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
  return {
    print,
    act,
    command,
    json: (name, description, group, settings) =>
      command(name, description, group, settings).option('--json', 'answer in JSON'),
    group: (name, description) => program.command(name).description(description).exitOverride(),
  }
}
