import { type CommandAnswer, type FleetOperations, OPERATIONS, type Operation } from '@taskfleet/protocol'
import { shapes } from '@taskfleet/protocol/internal'
import type { Command } from 'commander'
import { z } from 'zod'
import { EXIT } from './exit.ts'
import type { FleetView } from './fleet-view.ts'
import type { CommandKit } from './kit.ts'
import type { CommonOptions } from './options.ts'
import { type Columns, printFields, printTable, reportChanges } from './print-answer.ts'
import { isOptional, type RequestForm, requestOptions, sentence, type Values } from './request-options.ts'
import { printable, printableJson } from './text.ts'
import { withFleet } from './with-fleet.ts'

type Aggregate = keyof FleetOperations
type Method<A extends Aggregate, V extends keyof FleetOperations[A]> = Extract<
  FleetOperations[A][V],
  (...request: never[]) => Promise<unknown>
>
type RequestOf<A extends Aggregate, V extends keyof FleetOperations[A]> = Exclude<
  NonNullable<Parameters<Method<A, V>>[0]>,
  string
>
type AnswerOf<A extends Aggregate, V extends keyof FleetOperations[A]> = Awaited<ReturnType<Method<A, V>>>
type RowOf<Answer> = Answer extends readonly (infer Row)[] ? Row : never

/** The common options of a command, and its own. */
export type Options = CommonOptions & Values

interface Context {
  view: FleetView
  options: Options
  /** The arguments. */
  words: readonly unknown[]
}

/** How a command differs from the table of operations. */
export interface CommandForm<Request, Answer> extends RequestForm {
  /** Its name, if it differs from the table. */
  name?: string
  /** Its description, if it differs from the operation's summary. */
  summary?: string
  /** Completes and checks the request before anything is connected. */
  prepare?(request: Request, options: Options, words: readonly unknown[]): Request | Promise<Request>
  /** Called in place of the operation. */
  call?(fleet: FleetOperations, request: Request, context: Context): Promise<Answer>
  /** Does and prints everything itself, and returns the exit code. Undefined continues as usual. */
  run?(fleet: FleetOperations, request: Request, context: Context): Promise<number> | undefined
  /** How a list is printed. */
  columns?: Columns<RowOf<Answer>>
  /** How another answer is printed. */
  text?(answer: Answer, request: Request): string
  /** Is written to stderr as well, unless JSON is requested. */
  warning?(answer: Answer): string | undefined
  /** 0 by default. */
  exitCode?(answer: Answer): number
}

/** Adds a command for every operation of the table that has none yet. */
export function operationCommands(kit: CommandKit): void {
  for (const [aggregate, verbs] of Object.entries(OPERATIONS)) {
    for (const [verb, { cli }] of Object.entries(verbs as Record<string, Operation>)) {
      if (cli !== null && kit.find(cli) === undefined) addCommand(kit, aggregate, verb, {})
    }
  }
}

/** The command of an operation. */
export function operationCommand<
  A extends Aggregate,
  V extends keyof FleetOperations[A] & string,
  Answer = AnswerOf<A, V>,
>(kit: CommandKit, aggregate: A, verb: V, form: CommandForm<RequestOf<A, V>, Answer> = {}): Command {
  return addCommand(kit, aggregate, verb, form as CommandForm<Values, unknown>)
}

function addCommand(kit: CommandKit, aggregate: string, verb: string, form: CommandForm<Values, unknown>): Command {
  const operation = (OPERATIONS as unknown as Record<string, Record<string, Operation>>)[aggregate]![verb]!
  // `--key` is the task's key here.
  const hasTaskKey = operation.request === shapes.newTask
  const [name, summary] = [form.name ?? operation.cli!, form.summary ?? sentence(operation.summary)]
  const command = kit.json(name, summary, hasTaskKey ? { keyFlag: '--server-key' } : {})
  const take = requestOptions(command, operation, { arguments: argumentsOf(aggregate, operation), ...form })
  const run = async (...given: unknown[]): Promise<number> => {
    const [options, words] = [given.at(-2) as Options, given.slice(0, -2)]
    const taken = await take(words, options)
    const request = (await form.prepare?.(taken, options, words)) ?? taken
    return withFleet(hasTaskKey ? withServerKey(options) : options, async (fleet, view) => {
      const context = { view, options, words }
      const code = await form.run?.(fleet, request, context)
      if (code !== undefined) return code
      const answer =
        form.call === undefined
          ? await methodOf(fleet, aggregate, verb)(request)
          : await form.call(fleet, request, context)
      if (operation.answer === shapes.commandAnswer) {
        const shown = { json: options.json === true, dryRun: request.dryRun === true }
        return reportChanges(answer as CommandAnswer, shown, kit.print)
      }
      if (answer === undefined) printDone({ aggregate, verb, word: String(words[0]) }, options, kit)
      else printAnswer(answer, request, form, context, kit)
      return form.exitCode?.(answer) ?? EXIT.done
    })
  }
  return command.action(kit.act(run))
}

/** The field that identifies the document is an argument. */
function argumentsOf(aggregate: string, { request, by }: Operation): Record<string, string> {
  const shape = (request as z.ZodObject).shape as Record<string, z.ZodType>
  const first =
    by ??
    ['id', 'name', 'worker', 'fingerprint'].find((name) => Object.hasOwn(shape, name) && !isOptional(shape[name]!))
  if (first === undefined) return {}
  return { [`<${first === 'name' && aggregate === 'schedules' ? 'schedule' : first}>`]: first }
}

const withServerKey = ({ key: _, serverKey, ...options }: Options & { serverKey?: string }): CommonOptions =>
  serverKey === undefined ? options : { ...options, key: serverKey }

const methodOf = (fleet: FleetOperations, aggregate: string, verb: string): ((request: Values) => Promise<unknown>) =>
  (fleet as unknown as Record<string, Record<string, (request: Values) => Promise<unknown>>>)[aggregate]![verb]!

function printAnswer(
  answer: unknown,
  request: Values,
  { columns, text, warning }: CommandForm<Values, unknown>,
  { view, options }: Context,
  { print }: CommandKit,
): void {
  if (options.json === true) {
    print(printableJson(answer))
    return
  }
  if (columns !== undefined) printTable(answer as never[], columns, view.now(), print)
  else if (text !== undefined) {
    const shown = text(answer, request)
    if (shown !== '') print(shown)
  } else printFields(answer as object, print)
  const warned = warning?.(answer)
  if (warned !== undefined) process.stderr.write(`taskfleet: ${warned}\n`)
}

/** For an operation without an answer. */
function printDone(
  { aggregate, verb, word }: { aggregate: string; verb: string; word: string },
  { json }: CommonOptions,
  { print }: CommandKit,
): void {
  const done = `${verb.replace(/e$/, '')}ed`
  print(json === true ? printableJson({ [idOf(aggregate)]: word, [done]: true }) : `${printable(word)}  ${done}`)
}

/** The name of the id in the rows of an aggregate. */
function idOf(aggregate: string): string {
  const { show } = OPERATIONS[aggregate as keyof typeof OPERATIONS] as { show?: Operation }
  return show?.answer instanceof z.ZodObject && 'id' in show.answer.shape ? 'id' : '_id'
}
