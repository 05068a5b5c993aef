import { TRANSITIONS, type Verb } from '@taskfleet/core/internal'
import { STATUSES, type TaskStatus } from '@taskfleet/protocol'

/** The statuses and verbs that the runs of a model-based test have reached. */
export class Coverage {
  readonly #statuses = new Map<TaskStatus, number>()
  readonly #verbs = new Map<Verb, number>()
  readonly #moves = new Map<string, number>()
  readonly #operations = new Map<string, number>()
  runs = 0

  reached(status: TaskStatus): void {
    add(this.#statuses, status)
  }

  moved(verb: Verb, from: TaskStatus, to: TaskStatus): void {
    add(this.#verbs, verb)
    add(this.#moves, `${from} → ${to} by ${verb}`)
  }

  did(operation: string): void {
    add(this.#operations, operation)
  }

  /** Statuses that were never reached and verbs that never moved a task. */
  get missing(): string[] {
    const statuses = STATUSES.filter((status) => !this.#statuses.has(status))
    const verbs = (Object.keys(TRANSITIONS) as Verb[]).filter((verb) => !this.#verbs.has(verb))
    return [...statuses, ...verbs]
  }

  get summary(): string {
    const operations = [...this.#operations.values()].reduce((sum, count) => sum + count, 0)
    return `${this.runs} runs, ${operations} operations, ${this.#moves.size} kinds of moves`
  }

  toString(): string {
    const list = (counts: ReadonlyMap<string, number>): string =>
      [...counts]
        .sort(([, a], [, b]) => b - a)
        .map(([what, count]) => `${what} ${count}`)
        .join(', ')
    return [
      this.summary,
      `  statuses: ${list(this.#statuses)}`,
      `  verbs: ${list(this.#verbs)}`,
      `  moves: ${list(this.#moves)}`,
      `  operations: ${list(this.#operations)}`,
    ].join('\n')
  }
}

function add<Key>(counts: Map<Key, number>, key: Key): void {
  counts.set(key, (counts.get(key) ?? 0) + 1)
}
