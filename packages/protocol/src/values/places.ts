/** Where a value is on its way to: how its paths begin, what a refusal is called, and how much fits. */
export interface ValuePlace {
  /** The first part of a path: `output` in `output.rows.3`. */
  name: string
  /** The code when it can't be kept as it is. */
  refused: string
  /** The code when it is too large. */
  tooLarge: string
  /** In bytes of BSON. */
  limit: number
  /** Made by the handler, which would make the same again: the task fails without another try. */
  final: boolean
  /** Travels as JSON and is stored nowhere: a number that JSON has no form for would arrive as `null`. */
  json?: boolean
  /** Read by people and other programs, and by no handler that counts on its own types: what BSON has a form for is kept in it. */
  result?: boolean
}

/** What an input, an output, a checkpoint, an emitted event or an answer may take, in bytes. */
export const VALUE_LIMIT = 256 * 1024
/** Progress is stored each second and sent to everybody who watches. */
const PROGRESS_LIMIT = 16 * 1024
/** How many lists and objects may lie in one another. */
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
  /** It is left out; the attempt goes on. */
  event: place('data', 'EVENT', VALUE_LIMIT, true, { json: true }),
  /** The asker gets the error; the attempt goes on. */
  answer: place('answer', 'ANSWER', VALUE_LIMIT, false, { json: true }),
} as const satisfies Record<string, ValuePlace>
