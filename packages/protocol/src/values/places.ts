/** The place that a value goes to: the start of its paths, its error codes, and its limit. */
export interface ValuePlace {
  /** The first part of a path: `output` in `output.rows.3`. */
  name: string
  /** The code for a value that can't be kept unchanged. */
  refused: string
  /** The code for a value that is too large. */
  tooLarge: string
  /** In bytes of BSON. */
  limit: number
  /** Whether the handler made the value. It would make the same again, so the task fails without a retry. */
  final: boolean
  /** Sent as JSON and not stored: a number that JSON doesn't have would arrive as `null`. */
  json?: boolean
  /** Read only by people and other programs, not by a handler that needs its own types. So values are kept in BSON's types. */
  result?: boolean
}

/** The limit of an input, an output, a checkpoint, an emitted event or an answer, in bytes. */
export const VALUE_LIMIT = 256 * 1024
/** Progress is stored each second and sent to all watchers, so its limit is lower. */
const PROGRESS_LIMIT = 16 * 1024
/** How deep lists and objects may be nested. */
export const VALUE_DEPTH = 100

const place = (
  name: string,
  what: string,
  limit: number,
  final: boolean,
  more: Pick<ValuePlace, 'json' | 'result'> = {},
): ValuePlace => ({
  ...more,
  name,
  refused: `BAD_${what}`,
  tooLarge: `${what}_TOO_LARGE`,
  limit,
  final,
})

/** The rules are the same everywhere; only names and limits differ. */
export const PLACES = {
  input: place('input', 'INPUT', VALUE_LIMIT, false),
  /** An input on its way to a gateway. */
  sentInput: place('input', 'INPUT', VALUE_LIMIT, false, { json: true }),
  output: place('output', 'OUTPUT', VALUE_LIMIT, true, { result: true }),
  checkpoint: place('checkpoint', 'CHECKPOINT', VALUE_LIMIT, true),
  progress: place('progress', 'PROGRESS', PROGRESS_LIMIT, true, { json: true }),
  /** A rejected event is left out; the attempt goes on. */
  event: place('data', 'EVENT', VALUE_LIMIT, true, { json: true }),
  /** The sender of the message gets the error; the attempt goes on. */
  answer: place('answer', 'ANSWER', VALUE_LIMIT, false, { json: true }),
} as const satisfies Record<string, ValuePlace>
