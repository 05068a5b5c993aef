import { newSecret, parseSecrets } from '@taskfleet/core/internal'
import { FleetError } from '@taskfleet/protocol'
import { type Command, Option } from 'commander'
import { rankOf, readPrivateFile } from './address.ts'
import { EXIT } from './exit.ts'
import type { CommandKit } from './kit.ts'
import type { CommonOptions } from './options.ts'

/** The options of commands that sign tokens or check the signers. */
export interface SecretOptions extends CommonOptions {
  secret?: string
  secretFile?: string
}

/** Adds the options for the fleet's secret. */
export function secretOptions(command: Command): Command {
  return command
    .addOption(new Option('--secret <secret>').env('TASKFLEET_SECRET').hideHelp())
    .option(
      '--secret-file <file>',
      'a file with the secret that signs sessions and tickets, the same for all gateways and workers; or set TASKFLEET_SECRET',
    )
}

/**
 * The fleet's secret from the source with the highest precedence; undefined when none is given.
 *
 * @returns one or several with commas between them: the first one signs
 * @throws {FleetError} `BAD_SECRET`, `BAD_SECRET_FILE`, `BAD_REQUEST`
 */
export function secretOf(options: SecretOptions): string | undefined {
  const [secret, file] = [rankOf(options, 'secret'), rankOf(options, 'secretFile')]
  if (options.sources?.secret === 'cli') {
    const problem = 'Every user of this computer can read a secret on the command line in the list of processes'
    throw new FleetError('BAD_REQUEST', `${problem}: give it by TASKFLEET_SECRET or --secret-file FILE`)
  }
  const text =
    file !== undefined && file < (secret ?? Number.POSITIVE_INFINITY)
      ? readPrivateFile(options.secretFile!, { what: 'secret', code: 'BAD_SECRET_FILE', made: 'taskfleet secret' })
      : options.secret
  if (parseSecrets(text).length > 0) return text
  if (text === options.secret) return undefined
  const message = `The secret file ${options.secretFile} is empty: \`taskfleet secret\` prints a new secret`
  throw new FleetError('BAD_SECRET_FILE', message)
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
