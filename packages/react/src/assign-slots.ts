/**
 * Gives each running task a place among a worker's slots and leaves it there: when one ends the others do not move, and
 * the next one takes the free place.
 */
export function assignSlots(
  before: readonly (string | null)[],
  ids: readonly string[],
  slots: number,
): (string | null)[] {
  const running = new Set(ids)
  const placed: (string | null)[] = before.map((id) => (id !== null && running.has(id) ? id : null))
  while (placed.length < slots) placed.push(null)
  const seated = new Set(placed)
  for (const id of ids) {
    if (seated.has(id)) continue
    const free = placed.indexOf(null)
    if (free === -1) placed.push(id)
    else placed[free] = id
  }
  while (placed.length > slots && placed.at(-1) === null) placed.pop()
  return placed
}

/**
 * The tasks of a worker that have a slot, of those that it holds in the order of their claims. The others are claimed ahead, unless they
 * report progress: then the worker has fewer slots than before.
 */
export const inSlots = <Task extends { progress?: unknown }>(held: readonly Task[], slots: number): readonly Task[] =>
  held.length <= slots ? held : held.filter(({ progress }, index) => index < slots || progress !== undefined)
