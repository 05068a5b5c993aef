import type { CommandAnswer } from '@taskfleet/protocol'
import { EXIT } from './exit.ts'
import type { Print } from './kit.ts'
import { fieldLines, printable, printableJson, table } from './text.ts'

/** The columns of a list by their heads. Each returns the cell of a row, given the fleet's time; undefined leaves it empty. */
export type Columns<Row> = Readonly<Record<string, (row: Row, now: number) => string | number | undefined>>

/** Columns that line up. Characters that would control the terminal are made visible. */
export function printTable<Row>(rows: readonly Row[], columns: Columns<Row>, now: number, print: Print): void {
  const cells = rows.map((row) => Object.values(columns).map((cell) => printable(String(cell(row, now) ?? ''))))
  print(table(Object.keys(columns), cells))
}

const MOST_COLUMNS = 6

/** Prints a list as a table of its first fields, and anything else with one field in each line. */
export function printFields(answer: object, print: Print): void {
  if (!Array.isArray(answer)) {
    print(fieldLines(answer))
    return
  }
  const fields = Object.keys(answer[0] ?? {}).slice(0, MOST_COLUMNS)
  const cell = (value: unknown): string | undefined =>
    value === undefined || typeof value === 'string' ? value : printableJson(value)
  const columns = fields.map((field) => [field.toUpperCase(), (row: never) => cell(row[field])] as const)
  printTable(answer as never[], Object.fromEntries(columns), 0, print)
}

/** How many new tasks are listed in text; `--json` lists all. */
const NAMED = 20

/** Prints how many tasks a command changed and which it refused; returns the exit code. */
export function reportChanges(
  answer: CommandAnswer,
  { json, dryRun }: { json: boolean; dryRun: boolean },
  print: Print,
): number {
  const { matched, refused, tasks = [] } = answer
  const missing = refused.filter(({ error }) => error.code === 'NOT_FOUND').length
  if (json) print(printableJson(answer))
  else {
    for (const { id, error } of refused) {
      print(error.code === 'NOT_FOUND' ? `${id}  not found` : `${id}  ${printable(error.message)} (${error.code})`)
    }
    if (tasks.length <= NAMED) for (const id of tasks) print(`${id}  new`)
    print(dryRun ? `${matched} ${matched === 1 ? 'matches' : 'match'}; nothing was changed` : summary(answer, missing))
  }
  if (missing > 0) return EXIT.notFound
  return refused.length > 0 ? EXIT.conflict : EXIT.done
}

function summary({ matched, changed, refused }: CommandAnswer, missing: number): string {
  const asBefore = matched - changed - (refused.length - missing)
  return `${changed} of ${matched + missing} changed${asBefore > 0 ? `, ${asBefore} already in that state` : ''}`
}
