import type { StandardSchemaV1 } from '@standard-schema/spec'
import { FleetError } from './fleet-error.ts'
import { given } from './given.ts'
import { LONGEST_TITLE, labelName, MOST_LABELS } from './shapes/tasks.ts'
import { cutText } from './values/text.ts'

/** The name, input and output of a task: all that a producer or a page needs to know about it. */
export interface TaskContract<
  Input extends StandardSchemaV1 = StandardSchemaV1,
  Output extends StandardSchemaV1 = StandardSchemaV1,
> {
  readonly name: string
  /** The version of the task that an input is for. */
  readonly version: number
  readonly input: Input
  /** If given, it checks what the handler returns. */
  readonly output?: Output
  readonly title?: TitleOf<StandardSchemaV1.InferInput<Input>>
  readonly labels?: LabelsOf<StandardSchemaV1.InferInput<Input>>
}

// As methods, so that a contract of one input fits where any contract is taken.
/** What people call a task with this input: up to 200 characters. */
export type TitleOf<Input> = { title(input: Input): string }['title']
/** Labels of a task with this input: up to 16 short texts, by which people search. */
export type LabelsOf<Input> = { labels(input: Input): Readonly<Record<string, string>> }['labels']

/** The options of a contract. */
export interface TaskDeclaration<Input extends StandardSchemaV1, Output extends StandardSchemaV1> {
  name: string
  /** 1 by default. */
  version?: number
  /** Any Standard Schema, such as zod's. By default, every value that can be stored is allowed. */
  input?: Input
  output?: Output
  /** The title of a task whose request gives none. It gets the input as it was requested. */
  title?: TitleOf<StandardSchemaV1.InferInput<NoInfer<Input>>>
  /** The labels of a task; those in its request win. It gets the input as it was requested. */
  labels?: LabelsOf<StandardSchemaV1.InferInput<NoInfer<Input>>>
}

export const TASK_NAME = /^[A-Za-z][A-Za-z0-9_.:-]{0,127}$/

/** Accepts any value. A value that can't be stored is rejected elsewhere. */
const ANYTHING: StandardSchemaV1 = {
  '~standard': { version: 1, vendor: 'taskfleet', validate: (value) => ({ value }) },
}

/**
 * Declares a task without its handler: safe to import in a browser or a producer. A worker adds the handler with
 * `defineTask(contract, { run })`.
 *
 * @throws {FleetError} `BAD_NAME`, `BAD_DEFINITION`
 */
export function declareTask<
  Input extends StandardSchemaV1 = StandardSchemaV1<unknown>,
  Output extends StandardSchemaV1 = StandardSchemaV1<unknown>,
>(declaration: TaskDeclaration<Input, Output>): TaskContract<Input, Output> {
  const { name, version = 1, input = ANYTHING as Input, output } = declaration
  if (typeof name !== 'string' || !TASK_NAME.test(name))
    throw new FleetError('BAD_NAME', `'${name}' is not a valid task name`)
  if (!Number.isInteger(version) || version < 1) {
    throw new FleetError('BAD_DEFINITION', `${name}: 'version' must be a whole number from 1`, { field: 'version' })
  }
  requireSchema(name, 'input', input)
  if (output !== undefined) requireSchema(name, 'output', output)
  const { title, labels } = declaration
  requireNaming(name, { title, labels })
  return { name, version, input, ...given({ output, title, labels }) }
}

/** @throws {FleetError} `BAD_DEFINITION` */
export function requireNaming(name: string, naming: { title: unknown; labels: unknown }): void {
  for (const [field, value] of Object.entries(naming)) {
    if (value === undefined || typeof value === 'function') continue
    throw new FleetError('BAD_DEFINITION', `${name}: '${field}' must be a function of the input`, { field })
  }
}

/** @throws {FleetError} `BAD_DEFINITION` */
function requireSchema(name: string, field: 'input' | 'output', schema: StandardSchemaV1): void {
  if (typeof schema?.['~standard']?.validate === 'function') return
  throw new FleetError(
    'BAD_DEFINITION',
    `${name}: '${field}' must be a Standard Schema, for example from zod, valibot or arktype`,
    {
      field,
    },
  )
}

/** A task's title and labels. */
export interface TaskNaming {
  title?: string
  labels?: Readonly<Record<string, string>>
}

/**
 * The title and labels of a task, from its contract and from what its request gives. It never throws: a task is stored without
 * a title rather than not at all, so what a function can't give, or gives in an invalid form, is left out.
 */
export function namingOf(
  { title, labels }: Pick<TaskContract, 'title' | 'labels'>,
  input: unknown,
  asked: TaskNaming = {},
): TaskNaming {
  const named = asked.title ?? cut(attempted(() => title?.(input as never)))
  const computed = attempted(() => labels?.(input as never))
  const all = typeof computed === 'object' && computed !== null ? Object.entries(computed) : []
  const good = all.flatMap(([name, value]) => {
    const text = cut(value)
    return labelName.safeParse(name).success && text !== undefined ? [[name, text] as const] : []
  })
  const labelled = Object.fromEntries([...Object.entries(asked.labels ?? {}), ...good].slice(0, MOST_LABELS))
  return given({
    title: named,
    labels: Object.keys(labelled).length === 0 ? undefined : { ...labelled, ...asked.labels },
  })
}

function attempted(act: () => unknown): unknown {
  try {
    return act()
  } catch {
    return undefined
  }
}

/** A single value as a text that a title or label may be. */
function cut(value: unknown): string | undefined {
  if (typeof value !== 'string' && typeof value !== 'number' && typeof value !== 'boolean') return undefined
  const text = cutText(
    String(value)
      .replace(/[\p{Cc}\p{Surrogate}]+/gu, ' ')
      .trim(),
    LONGEST_TITLE,
  )
  return text === '' ? undefined : text
}
