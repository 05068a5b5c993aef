import { priorityName } from '../view/priority.ts'

const LEVELS = [10, 9, 8, 7, 6, 5, 4, 3, 2, 1]
const NAMED = new Set([10, 8, 5, 2])

/** The ten priorities, with their names where they have one. */
export function PriorityOptions() {
  return LEVELS.map((level) => (
    <option key={level} value={String(level)}>
      {NAMED.has(level) ? `${level} · ${priorityName(level)}` : level}
    </option>
  ))
}
