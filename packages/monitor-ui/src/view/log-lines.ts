import type { LogLevel, StoredLogLine } from '@taskfleet/protocol'
import { visibleText } from './text.ts'

/** The levels of lines, from the least to the most urgent. */
export const LEVELS = ['debug', 'info', 'warn', 'error'] as const satisfies readonly LogLevel[]
const RANK: Record<LogLevel, number> = { debug: 0, info: 1, warn: 2, error: 3 }
const LONGEST = 4_000

/** The lines of at least this level. All of them are the same list. */
export function linesFrom(lines: readonly StoredLogLine[], least: LogLevel): readonly StoredLogLine[] {
  return least === 'debug' ? lines : lines.filter(({ level }) => RANK[level] >= RANK[least])
}

/** A message as it is shown. */
export const shownMessage = (message: string): string => visibleText(message, LONGEST)

/** What an address names a line by: `2.100` is line 100 of attempt 2. */
export const lineName = ({ attempt, seq }: Pick<StoredLogLine, 'attempt' | 'seq'>): string => `${attempt}.${seq}`

/**
 * The line that an address means.
 * @param attempt that of a number alone
 */
export function parseLineName(name: string, attempt: number): Pick<StoredLogLine, 'attempt' | 'seq'> | undefined {
  const [, n, seq] = /^(?:(\d{1,9})\.)?(\d{1,9})$/.exec(name) ?? []
  const line = { attempt: n === undefined ? attempt : Number(n), seq: Number(seq) }
  return line.attempt >= 1 && line.seq >= 1 ? line : undefined
}

/** Whether a line comes before another one. */
export const isBefore = (
  a: Pick<StoredLogLine, 'attempt' | 'seq'>,
  b: Pick<StoredLogLine, 'attempt' | 'seq'>,
): boolean => a.attempt < b.attempt || (a.attempt === b.attempt && a.seq < b.seq)

/** Searches lines as they are shown. What it has prepared is kept for as long as its line. */
export class LogSearch {
  readonly #texts = new WeakMap<StoredLogLine, string>()

  /** The places of the lines that have the text, in their order. Upper and lower case are equal. */
  find(lines: readonly StoredLogLine[], wanted: string): number[] {
    if (wanted === '') return []
    const part = wanted.toLowerCase()
    return lines.flatMap((line, index) => (this.#textOf(line).includes(part) ? [index] : []))
  }

  #textOf(line: StoredLogLine): string {
    const known = this.#texts.get(line)
    if (known !== undefined) return known
    const text = shownMessage(line.message).toLowerCase()
    this.#texts.set(line, text)
    return text
  }
}

/** A text in parts: those at odd places are the wanted one. */
export function splitBy(text: string, wanted: string): string[] {
  const lower = text.toLowerCase()
  // In a few scripts a letter changes its length with its case, so places would not fit.
  if (wanted === '' || lower.length !== text.length) return [text]
  const part = wanted.toLowerCase()
  const parts: string[] = []
  let from = 0
  for (let at = lower.indexOf(part); at !== -1; at = lower.indexOf(part, from)) {
    parts.push(text.slice(from, at), text.slice(at, at + part.length))
    from = at + part.length
  }
  return [...parts, text.slice(from)]
}

/**
 * Lines as a text, each with its date in ISO 8601, its attempt and level.
 * @param isCut there are older ones, which are left out
 */
export function logText(lines: readonly StoredLogLine[], isCut: boolean): string {
  const written = lines.map(
    ({ at, attempt, level, message }) => `${at} attempt ${attempt} ${level.toUpperCase().padEnd(5)} ${message}`,
  )
  return `${[...(isCut ? ['(earlier lines are left out)'] : []), ...written].join('\n')}\n`
}
