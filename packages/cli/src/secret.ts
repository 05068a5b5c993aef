import { newSecret, parseSecrets } from '@taskfleet/core/internal'
import { FleetError } from '@taskfleet/protocol'
import { type Command, Option } from 'commander'
import { rankOf, readPrivateFile } from './address.ts'
import { EXIT } from './exit.ts'
import type { CommandKit } from './kit.ts'
import type { CommonOptions } from './options.ts'

/** What a command that signs tokens, or looks at who does, takes beside the common options. */
export interface SecretOptions extends CommonOptions {
  secret?: string
  secretFile?: string
}

/** Adds where a command gets the fleet's secret from. */
export function secretOptions(command: Command): Command {
  return command
    .addOption(new Option('--secret <secret>').env('TASKFLEET_SECRET').hideHelp())
    .option(
      '--secret-file <file>',
      'holds what signs sessions and tickets, the same for all gateways and workers; TASKFLEET_SECRET gives it as well',
    )
}

/**
 * What signs the fleet's tokens, from where it is given nearest to whoever starts this; undefined where it is not.
 *
 * @returns one or several, the first of which signs
 * @throws {FleetError} `BAD_SECRET`, `BAD_SECRET_FILE`, `BAD_REQUEST`
 */
export function secretOf(options: SecretOptions): string | undefined {
  const [secret, file] = [rankOf(options, 'secret'), rankOf(options, 'secretFile')]
  if (options.sources?.secret === 'cli') {
    throw new FleetError(
      'BAD_REQUEST',
      'A secret on the command line is visible to everybody who lists processes: give it by TASKFLEET_SECRET or --secret-file FILE',
    )
  }
  const text =
    file !== undefined && file < (secret ?? Number.POSITIVE_INFINITY)
      ? readPrivateFile(options.secretFile!, { what: 'secret', code: 'BAD_SECRET_FILE', made: 'taskfleet secret' })
      : options.secret
  if (parseSecrets(text).length > 0) return text
  if (text === options.secret) return undefined
  throw new FleetError(
    'BAD_SECRET_FILE',
    `The secret file ${options.secretFile} is empty: \`taskfleet secret\` makes one`,
  )
}

export function secretCommand(program: Command, { act, print }: Pick<CommandKit, 'act' | 'print'>): void {
  program
    .command('secret')
    .description('print a new secret for TASKFLEET_SECRET, which signs sessions and tickets')
    .exitOverride()
    .addHelpText(
      'after',
      `
In a file for --secret-file: (umask 077; taskfleet secret > secret)
To change it, in three restarts of all gateways and workers: old,new then new,old then new.`,
    )
    .action(
      act(async () => {
        print(newSecret())
        return EXIT.done
      }),
    )
}
