interface Revised {
  _id: string
  rev?: number
}

/** The revisions of the rows that a client has seen. They never decrease within an epoch. */
export class Revisions {
  readonly faults: string[] = []
  readonly #reborn: ReadonlySet<string>
  readonly #seen = new Map<string, number>()

  /** @param reborn ids of documents that were deleted and stored again, with a lower `rev` */
  constructor(reborn: ReadonlySet<string> = new Set()) {
    this.#reborn = reborn
  }

  newEpoch(rows: readonly Revised[]): void {
    this.#seen.clear()
    this.see(rows)
  }

  see(rows: readonly Revised[]): void {
    for (const { _id, rev = 0 } of rows) {
      const before = this.#seen.get(_id) ?? 0
      if (rev < before && !this.#reborn.has(_id)) this.faults.push(`${_id} went from rev ${before} back to ${rev}`)
      this.#seen.set(_id, rev)
    }
  }
}
