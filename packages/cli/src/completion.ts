import { Fleet } from '@taskfleet/core'
import { FleetDatabase } from '@taskfleet/core/internal'
import type { FleetOperations } from '@taskfleet/protocol'
import { Argument, type Command, type Option } from 'commander'
import { addressOf, keyOption, tokenOf } from './address.ts'
import { EXIT } from './exit.ts'
import { DatabaseView, type FleetView } from './fleet-view.ts'
import { connectGateway, GatewayView } from './gateway-view.ts'
import type { CommandKit, Print } from './kit.ts'
import type { CommonOptions } from './options.ts'
import { oneLine } from './text.ts'

const SHELLS = ['bash', 'zsh', 'fish'] as const
type Shell = (typeof SHELLS)[number]

/** The longest time that a person who has pressed a key waits for the fleet. */
const PATIENCE_MS = 3_000
const MOST = 50

/** Names come from other people and go into a command line, where `$(…)` would be executed. */
const HARMLESS = /^[\p{L}\p{N}_.,:@%+=/-]+$/u

/** A word that may come next, with its description. */
interface Candidate {
  word: string
  description?: string | undefined
}

export function completionCommands(program: Command, { act, print }: Pick<CommandKit, 'act' | 'print'>): void {
  program
    .command('completion')
    .description('print a script that completes commands, options, and names in the fleet')
    .exitOverride()
    .addArgument(new Argument('<shell>').choices(SHELLS))
    .addHelpText('after', INSTALL)
    .action(
      act(async (shell: Shell) => {
        print(SCRIPTS[shell])
        return EXIT.done
      }),
    )
  program
    .command('__complete', { hidden: true })
    .exitOverride()
    .helpOption(false)
    .allowUnknownOption()
    .passThroughOptions()
    .argument('[words...]')
    .action(act((words: string[]) => complete(program, words, print)))
}

const INSTALL = `
  bash: eval "$(taskfleet completion bash)" in ~/.bashrc
  zsh:  eval "$(taskfleet completion zsh)" in ~/.zshrc, after compinit
  fish: taskfleet completion fish > ~/.config/fish/completions/taskfleet.fish`

/** Each script calls the installed command, so it offers everything that command has. */
const SCRIPTS: Record<Shell, string> = {
  // The line is split again, since bash splits addresses at their colons.
  bash: `_taskfleet() {
  local begun=\${COMP_LINE:0:COMP_POINT} found
  local -a words
  read -ra words <<< "$begun"
  [[ $begun == *[[:space:]] ]] && words+=('')
  COMPREPLY=()
  [[ \${words[\${#words[@]} - 1]} == *[:=]* ]] && return
  while IFS= read -r found; do COMPREPLY+=("\${found%%$'\\t'*}"); done < <("\${words[0]}" __complete -- "\${words[@]:1}" 2>/dev/null)
}
complete -o default -F _taskfleet taskfleet`,
  zsh: `#compdef taskfleet
_taskfleet() {
  local line
  local -a words_found said
  for line in "\${(@f)$("\${words[1]}" __complete -- "\${(@)words[2,CURRENT]}" 2>/dev/null)}"; do
    [[ -z $line ]] && continue
    words_found+=("\${line%%$'\\t'*}")
    said+=("\${line//$'\\t'/  -- }")
  done
  (( \${#words_found} )) && compadd -l -d said -a words_found || _files
}
compdef _taskfleet taskfleet`,
  fish: `function __taskfleet_complete
  set -l tokens (commandline -opc) (commandline -ct)
  $tokens[1] __complete -- $tokens[2..-1] 2>/dev/null
end
complete -c taskfleet -f -a '(__taskfleet_complete)'
complete -c taskfleet -n '__fish_seen_subcommand_from worker' -l tasks -r -F
complete -c taskfleet -n 'not __fish_use_subcommand' -l key-file -r -F
complete -c taskfleet -n 'not __fish_use_subcommand' -l config -r -F`,
}

/** `taskfleet __complete -- WORD…`: how the last word can be completed. */
async function complete(program: Command, words: readonly string[], print: Print): Promise<number> {
  const { command, option, argument } = placeOf(program, words.slice(0, -1))
  const begun = words.at(-1) ?? ''
  const candidates = await candidatesFor({ command, option, argument, begun }, words.slice(0, -1))
  for (const { word, description } of candidates) {
    if (!word.startsWith(begun) || !HARMLESS.test(word)) continue
    print(description === undefined ? word : `${word}\t${oneLine(description)}`)
  }
  return EXIT.done
}

interface Place {
  command: Command
  /** The option whose value comes next. */
  option: Option | undefined
  /** The argument that comes next, if no option's value does. */
  argument: Argument | undefined
}

/** The place in a command line after some words. */
function placeOf(program: Command, words: readonly string[]): Place {
  let command = program
  let option: Option | undefined
  let given = 0
  for (const word of words) {
    if (option !== undefined) option = undefined
    else if (word.startsWith('-')) {
      const found = optionsOf(command).find(({ long, short }) => long === word || short === word)
      option = found?.required === true ? found : undefined
    } else {
      const next = command.commands.find((one) => one.name() === word)
      if (next === undefined) given += 1
      else [command, given] = [next, 0]
    }
  }
  const { registeredArguments: known } = command
  const last = known.at(-1)
  return { command, option, argument: known[given] ?? (last?.variadic === true ? last : undefined) }
}

/** A group accepts the options of its default command. */
function optionsOf(command: Command): readonly Option[] {
  const { _defaultCommandName: name } = command as Command & { _defaultCommandName?: string | null }
  const meant = command.commands.find((one) => one.name() === name)
  return [...command.options, ...(meant?.options ?? [])]
}

async function candidatesFor(place: Place & { begun: string }, words: readonly string[]): Promise<Candidate[]> {
  const { command, option, argument, begun } = place
  if (option !== undefined) {
    const choices = option.argChoices?.map((word) => ({ word }))
    const values = choices ?? (await valuesOf(option.attributeName(), command, words))
    return option.flags.endsWith('<names>') ? inList(begun, values) : values
  }
  if (begun.startsWith('-')) {
    const shown = optionsOf(command).filter(({ hidden, long }) => !hidden && long != null && !words.includes(long))
    return [...shown.map(({ long, description }) => ({ word: long!, description })), { word: '--help' }]
  }
  const below = command.createHelp().visibleCommands(command)
  const commands = below.map((one) => ({ word: one.name(), description: one.description() || undefined }))
  if (argument === undefined) return commands
  if (argument.argChoices !== undefined) return argument.argChoices.map((word) => ({ word }))
  return [...commands, ...(await valuesOf(argument.name(), command, words))]
}

async function valuesOf(name: string, command: Command, words: readonly string[]): Promise<Candidate[]> {
  const lookUp = LOOK_UPS[lookUpOf(name, command.parent?.name())]
  return lookUp === undefined ? [] : lookUpIn(command, words, lookUp).catch(() => [])
}

/** The look-up for an argument. An id belongs to a task, unless the command is in a group. */
function lookUpOf(name: string, parent: string | undefined): string {
  if (name === 'name' && parent === 'queues') return 'queue'
  if (name !== 'id' && name !== 'ids') return name
  return parent === 'taskfleet' ? 'task' : `of ${parent}`
}

/** The names that come after a comma. */
function inList(begun: string, names: readonly Candidate[]): Candidate[] {
  const before = begun.slice(0, begun.lastIndexOf(',') + 1)
  const taken = before.split(',')
  return names.filter(({ word }) => !taken.includes(word)).map(({ word }) => ({ word: `${before}${word}` }))
}

interface Connected {
  view: FleetView
  fleet: FleetOperations
}

const queueNames = async ({ view }: Connected): Promise<Candidate[]> => {
  const [counts, known] = await Promise.all([view.queueCounts(), view.rows({ collection: 'queues', limit: MOST })])
  return [...new Set([...Object.keys(counts), ...known.map(({ _id }) => _id)])].sort().map((word) => ({ word }))
}

const named = ({ _id, name, status }: { _id: string; name: string; status: string }): Candidate => ({
  word: _id,
  description: `${name} ${status}`,
})

/** Finds names in the fleet, by the name of the option or argument. */
const LOOK_UPS: Record<string, (connected: Connected) => Promise<Candidate[]>> = {
  queue: queueNames,
  queues: queueNames,
  worker: async ({ fleet }) =>
    (await fleet.workers.list())
      .filter(({ role, state }) => role === 'worker' && state !== 'stopped')
      .map(({ name, host, state }) => ({ word: name, description: `${state} on ${host}` })),
  schedule: async ({ fleet }) =>
    (await fleet.schedules.list({ limit: MOST })).map(({ _id, task }) => ({ word: _id, description: task })),
  task: async ({ fleet }) => {
    const request = { sort: { _id: -1 }, limit: MOST, fields: ['name', 'status'] } as const
    return (await fleet.tasks.list(request)).tasks.map(named)
  },
  'of events': async ({ fleet }) => (await fleet.events.list({ limit: MOST })).map(named),
  'of callbacks': async ({ fleet }) =>
    (await fleet.callbacks.list({ limit: MOST })).map(({ _id, event, task }) => ({
      word: _id,
      description: `${task} at ${event}`,
    })),
  'of keys': async ({ fleet }) =>
    (await fleet.keys.list()).map(({ id, name, state }) => ({ word: id, description: `${name} ${state}` })),
}

/** Looks something up in the fleet that the words and the environment name. Fails soon if the fleet does not answer. */
async function lookUpIn<T>(
  command: Command,
  words: readonly string[],
  lookUp: (connected: Connected) => Promise<T>,
): Promise<T> {
  const connecting = connect(optionsGiven(command, words, process.env))
  const late = new Promise<never>((_, reject) => {
    setTimeout(() => reject(new Error('the fleet takes too long to answer')), PATIENCE_MS).unref()
  })
  const open = await Promise.race([connecting, late]).catch((error: unknown) => {
    connecting.then(({ close }) => close()).catch(() => undefined)
    throw error
  })
  try {
    return await Promise.race([lookUp(open), late])
  } finally {
    await open.close()
  }
}

/** Unlike other commands, this creates no indexes. */
async function connect(options: CommonOptions): Promise<Connected & { close: () => Promise<void> }> {
  const address = addressOf(options)
  if ('server' in address) {
    const token = await tokenOf(options)
    const client = await connectGateway(address.server, token)
    return { view: new GatewayView(client), fleet: client, close: async () => client.close() }
  }
  const database = await FleetDatabase.connect({ uri: address.mongo, name: options.db, timeoutMs: PATIENCE_MS })
  const fleet = new Fleet(database)
  return { view: new DatabaseView(fleet), fleet: fleet.as(), close: () => database.close() }
}

/** The options for the address in a command line that is not complete yet. */
function optionsGiven(command: Command, words: readonly string[], env: NodeJS.ProcessEnv): CommonOptions {
  const options: CommonOptions = { sources: {} }
  for (const name of ['mongo', 'db', 'server', 'key', 'keyFile'] as const) {
    const option = optionsOf(command).find(
      (one) => one.attributeName() === (name === 'key' ? keyOption(command) : name),
    )
    const at = words.lastIndexOf(option?.long ?? '')
    const given = at < 0 ? undefined : words[at + 1]
    const fromEnv = env[option?.envVar ?? ''] || undefined
    const fromFile = command.getOptionValue(option?.attributeName() ?? '') as string | undefined
    const value = given ?? fromEnv ?? fromFile
    // During completion, stdin belongs to the shell.
    if (value === undefined || (name === 'key' && value === '-')) continue
    options[name] = value
    if (name !== 'db') options.sources![name] = given !== undefined ? 'cli' : fromEnv ? 'env' : 'config'
  }
  return options
}
