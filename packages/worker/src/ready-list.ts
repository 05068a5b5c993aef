import { type Hint, inClaimOrder } from '@taskfleet/core/internal'

/**
 * The next tasks that a worker knows: due ones in claim order, and later ones by date. They are hints. Nothing is locked, and a lost
 * hint costs only time, since the database is queried again when the list runs low.
 *
 * Pure: the time is passed in.
 */
export class ReadyList {
  #capacity: number
  #due: Hint[] = []
  #later: Hint[] = []
  readonly #known = new Map<string, Hint>()
  /** Whether there may be due tasks in the database that are not in this list. */
  #dueCut = false
  #laterCut = false

  constructor(capacity: number) {
    this.#capacity = capacity
  }

  get size(): number {
    return this.#due.length
  }

  /** Whether it has run low while the database may hold more. */
  get low(): boolean {
    return (this.#dueCut && this.#due.length < this.#capacity / 4) || (this.#laterCut && this.#later.length === 0)
  }

  has(id: string): boolean {
    return this.#known.has(id)
  }

  /** Whether more tasks may be due than this list has. */
  get full(): boolean {
    return this.#dueCut
  }

  /** Replaces the list by the answer of a query, which has at most `limit` of each kind. From now on it has room for as many. */
  load(answer: { due: readonly Hint[]; next: readonly Hint[] }, limit: number): void {
    this.#capacity = limit
    this.#due = []
    this.#later = []
    this.#known.clear()
    this.#dueCut = answer.due.length >= limit
    this.#laterCut = answer.next.length >= limit
    for (const hint of [...answer.due, ...answer.next]) this.#known.set(idOf(hint), hint)
    this.#due = [...answer.due].sort(inClaimOrder)
    this.#later = [...answer.next].sort(byDate)
  }

  /** Inserts a hint, or moves one that has changed. Returns whether it is due. */
  offer(hint: Hint, now: Date): boolean {
    this.remove(idOf(hint))
    const due = hint.runAt <= now
    const list = due ? this.#due : this.#later
    const order = due ? inClaimOrder : byDate
    const cut = due ? this.#dueCut : this.#laterCut
    const place = placeOf(list, hint, order)
    // There may be unknown tasks between the last hint and this one.
    if (place === list.length && cut) return due
    list.splice(place, 0, hint)
    this.#known.set(idOf(hint), hint)
    if (list.length > this.#capacity) {
      this.#known.delete(idOf(list.pop()!))
      if (due) this.#dueCut = true
      else this.#laterCut = true
    }
    return due
  }

  remove(id: string): void {
    const hint = this.#known.get(id)
    if (hint === undefined) return
    this.#known.delete(id)
    for (const list of [this.#due, this.#later]) {
      const at = list.indexOf(hint)
      if (at !== -1) list.splice(at, 1)
    }
  }

  /** Moves hints whose date has come to the due ones, and returns them. */
  promote(now: Date): Hint[] {
    const promoted: Hint[] = []
    while (this.#later[0] !== undefined && this.#later[0].runAt <= now) {
      const hint = this.#later.shift()!
      this.#known.delete(idOf(hint))
      this.offer(hint, now)
      promoted.push(hint)
    }
    // Later dates are in the database only.
    if (this.#later.length === 0 && this.#laterCut && promoted.length > 0) this.#dueCut = true
    return promoted
  }

  /**
   * Removes the first hints and returns them to be claimed. Drops hints that `may` rejects, and stops before the first that
   * `goesOn` rejects.
   */
  take(
    count: number,
    may: (hint: Hint) => boolean = () => true,
    goesOn: (hint: Hint, taken: number) => boolean = () => true,
  ): Hint[] {
    const taken: Hint[] = []
    let seen = 0
    for (; seen < this.#due.length && taken.length < count; seen += 1) {
      const hint = this.#due[seen]!
      if (!may(hint)) continue
      if (!goesOn(hint, taken.length)) break
      taken.push(hint)
    }
    for (const hint of this.#due.splice(0, seen)) this.#known.delete(idOf(hint))
    return taken
  }

  /** When the first of the later ones becomes due. */
  get nextDate(): Date | null {
    return this.#later[0]?.runAt ?? null
  }
}

const idOf = (hint: Hint): string => hint._id.toHexString()

function byDate(a: Hint, b: Hint): number {
  return a.runAt.getTime() - b.runAt.getTime() || compareIds(a, b)
}

const compareIds = (a: Hint, b: Hint): number => (idOf(a) < idOf(b) ? -1 : 1)

function placeOf(list: readonly Hint[], hint: Hint, order: (a: Hint, b: Hint) => number): number {
  let low = 0
  let high = list.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (order(hint, list[middle]!) < 0) high = middle
    else low = middle + 1
  }
  return low
}
