import type { QueryDelta, QueryPart, ResetReason, Row } from '@taskfleet/protocol'

/** The most bytes of a part, except if one row alone has more. */
const PART_BYTES = 256 * 1024
/** The last part may have more, so that a client that reads slowly overtakes the changes. */
const LAST_PART_BYTES = 384 * 1024
/** A row's `_id` takes a few bytes more in a list. */
const ID_BYTES = 4

/** The encoded size of rows, which never change. Many clients get the same row. */
const sizes = new WeakMap<Row, number>()

function bytesOfRow(row: Row): number {
  const known = sizes.get(row)
  if (known !== undefined) return known
  const bytes = Buffer.byteLength(JSON.stringify(row))
  sizes.set(row, bytes)
  return bytes
}

/** The encoded size of rows, in bytes; some number above `most` if they have more than that. */
export function bytesOfRows(rows: Iterable<Row>, most: number): number {
  let bytes = 0
  for (const row of rows) {
    bytes += bytesOfRow(row)
    if (bytes > most) break
  }
  return bytes
}

/** As `bytesOfRows`, for the rows of deltas. */
export function bytesOfDeltas(deltas: readonly Pick<QueryDelta, 'added' | 'changed'>[], most: number): number {
  return bytesOfRows(
    (function* () {
      for (const { added, changed } of deltas) for (const { row } of [...added, ...changed]) yield row
    })(),
    most,
  )
}

/** A message with a part of the rows, and its size in bytes. */
export interface NextPart extends Omit<QueryPart, 'subscription' | 'end'> {
  bytes: number
  /** The ids of the whole window, if this is the last part. */
  ids?: string[]
}

/**
 * The rows of one view on their way to one client. Each part has rows of the moment at which it is sent. Rows that changed after they
 * were sent are sent again, and all changes that are left fit into the last part, so the client then has the window of one `seq`.
 * Nothing is copied or kept for a client: which rows it has is known by weak references. The same is done when a virtual machine moves
 * (Clark et al., "Live Migration of Virtual Machines", NSDI 2005, "pre-copy").
 */
export class SnapshotParts {
  /** Why the client needs the rows again; undefined if it has just subscribed. */
  readonly reason: ResetReason | undefined
  #part = 0
  #sent = new Map<string, WeakRef<Row>>()

  constructor(reason?: ResetReason) {
    this.reason = reason
  }

  /** The next part, if the window is now `rows`. */
  next(rows: readonly Row[]): NextPart {
    // What has changed since it was sent may soon change again, so it is sent last.
    const unsent = rows.filter(({ _id }) => !this.#sent.has(_id))
    const changed = rows.filter((row) => {
      const sent = this.#sent.get(row._id)
      return sent !== undefined && sent.deref() !== row
    })
    const pending = [...unsent, ...changed]
    const ids = rows.map(({ _id }) => _id)
    const idBytes = ids.reduce((sum, id) => sum + Buffer.byteLength(id) + ID_BYTES, 0)
    let bytes = 0
    let fitting: { rows: number; bytes: number } | undefined
    for (const [index, row] of pending.entries()) {
      bytes += bytesOfRow(row)
      if (index === 0 || bytes <= PART_BYTES) fitting = { rows: index + 1, bytes }
      else if (fitting !== undefined && bytes + idBytes > LAST_PART_BYTES) {
        return { part: this.#part, rows: pending.slice(0, fitting.rows), bytes: fitting.bytes }
      }
    }
    return { part: this.#part, rows: pending, bytes: bytes + idBytes, ids }
  }

  /** The part was sent, while the window was `rows`. */
  sent(part: NextPart, rows: readonly Row[]): void {
    this.#part += 1
    const before = this.#sent
    this.#sent = new Map()
    // Rows that have left the window are forgotten.
    for (const { _id } of rows) {
      const sent = before.get(_id)
      if (sent !== undefined) this.#sent.set(_id, sent)
    }
    for (const row of part.rows) this.#sent.set(row._id, new WeakRef(row))
  }
}
