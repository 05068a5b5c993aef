/** A drawn row. A `gone` row has left the live list and is removed at the next update. */
interface HeldRow<R> {
  row: R
  gone: boolean
}

export interface HeldView<R> {
  rows: readonly HeldRow<R>[]
  /** How many new rows wait. */
  entered: number
  /** Whether rows have left or changed places since the list was held. */
  moved: boolean
}

/**
 * Keeps rows in their places while the user points at them. The drawn rows follow the content of the live rows but not their
 * order, until they are released or applied.
 */
export class HeldRows<R extends { _id: string }> {
  #key: string | undefined
  #frozen: readonly R[] | undefined
  #last: readonly R[] = []

  /**
   * @param key names the query; rows of another query are never held back
   * @param held whether the user points at the list
   */
  view(key: string, live: readonly R[], held: boolean): HeldView<R> {
    if (key !== this.#key) {
      this.#key = key
      this.#frozen = undefined
      this.#last = []
    }
    // In an empty list no row can move.
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
    // Kept with its latest content, so that a row that leaves later fades with that content.
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
