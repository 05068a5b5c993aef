/** A row as it is drawn: `gone` ones have left the live list and only wait for the next chance to disappear. */
interface HeldRow<R> {
  row: R
  gone: boolean
}

export interface HeldView<R> {
  rows: readonly HeldRow<R>[]
  /** How many rows have entered and wait. */
  entered: number
  /** Whether rows have left or changed places since the list was held. */
  moved: boolean
}

/**
 * Keeps rows in their places while somebody points at them: what is drawn follows the live rows in content but not in
 * order, until it is let go or applied.
 */
export class HeldRows<R extends { _id: string }> {
  #key: string | undefined
  #frozen: readonly R[] | undefined
  #last: readonly R[] = []

  /**
   * @param key names the query; rows of another query are never held back
   * @param held whether somebody points at the list
   */
  view(key: string, live: readonly R[], held: boolean): HeldView<R> {
    if (key !== this.#key) {
      this.#key = key
      this.#frozen = undefined
      this.#last = []
    }
    // An empty list has nothing that could jump.
    if (!held || this.#last.length === 0) {
      this.#frozen = undefined
      this.#last = live
      return { rows: live.map((row) => ({ row, gone: false })), entered: 0, moved: false }
    }
    this.#frozen ??= this.#last
    const byId = new Map(live.map((row) => [row._id, row]))
    const shown = new Set(this.#frozen.map((row) => row._id))
    const rows = this.#frozen.map((row) => {
      const now = byId.get(row._id)
      return now === undefined ? { row, gone: true } : { row: now, gone: false }
    })
    // Kept with its latest content, so that a row that leaves later fades as it was last seen.
    this.#frozen = rows.map(({ row }) => row)
    const staying = live.filter((row) => shown.has(row._id))
    const kept = rows.filter(({ gone }) => !gone)
    const reordered = staying.some((row, index) => row._id !== kept[index]?.row._id)
    return { rows, entered: live.length - staying.length, moved: reordered || kept.length < rows.length }
  }

  /** Shows the live rows once, even while they are held. */
  apply(): void {
    this.#frozen = undefined
    this.#last = []
  }
}
