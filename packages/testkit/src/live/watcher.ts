import {
  compileQuery,
  type LiveQueries,
  type LiveQueryListener,
  type SequencedDelta,
  toRow,
  type Watch,
} from '@taskfleet/core/internal'
import { applyDelta, type OtherRow, type QueryRequest, type ResetReason, rowsChecksum } from '@taskfleet/protocol'
import type { mongo } from 'mongoose'
import { expect, vi } from 'vitest'
import { Revisions } from './revisions.ts'

export const until = (check: () => void | Promise<void>): Promise<void> =>
  vi.waitFor(check, { timeout: 20_000, interval: 5 })

/** A client that keeps its rows by deltas alone, and checks the rules of the protocol on the way. */
export class Watcher implements LiveQueryListener<OtherRow> {
  readonly request: QueryRequest
  watch!: Watch<OtherRow>
  rows: OtherRow[] = []
  epoch = ''
  seq = 0
  deltas: SequencedDelta<OtherRow>[] = []
  resets: ResetReason[] = []
  readonly #revisions: Revisions

  /** @param reborn ids of documents that began again, with a lower `rev` */
  constructor(request: QueryRequest, reborn?: ReadonlySet<string>) {
    this.request = request
    this.#revisions = new Revisions(reborn)
  }

  get faults(): string[] {
    return this.#revisions.faults
  }

  async open(queries: LiveQueries): Promise<this> {
    this.watch = await queries.watch<OtherRow>(compileQuery(this.request), this)
    const { live } = this.watch
    this.#take(live.rows, live.epoch, live.seq)
    return this
  }

  delta(delta: SequencedDelta<OtherRow>): void {
    if (delta.seq !== this.seq + 1) this.faults.push(`seq ${delta.seq} after ${this.seq}`)
    this.seq = delta.seq
    this.deltas.push(delta)
    this.#revisions.see([...delta.added, ...delta.changed].map(({ row }) => row))
    const before = this.rows.length
    this.rows = applyDelta(this.rows, delta)
    for (const { row } of delta.changed) if (before === 0) this.faults.push(`${row._id} changed in an empty window`)
    if (this.rows.length > (this.request.limit ?? 100)) this.faults.push(`${this.rows.length} rows`)
  }

  reset({ epoch, seq, rows, reason }: { epoch: string; seq: number; rows: OtherRow[]; reason: ResetReason }): void {
    this.resets.push(reason)
    this.#take(rows, epoch, seq)
  }

  #take(rows: OtherRow[], epoch: string, seq: number): void {
    this.rows = rows
    this.epoch = epoch
    this.seq = seq
    this.#revisions.newEpoch(rows)
  }

  /** The database's answer to the same query. */
  async truth(db: mongo.Db): Promise<OtherRow[]> {
    const { filter, sort, limit, collection, fields } = compileQuery(this.request)
    const docs = await db.collection(collection).find(filter).sort(sort).limit(limit).toArray()
    return docs.map((doc) => toRow<OtherRow>(collection, doc, fields))
  }

  async isExact(db: mongo.Db): Promise<void> {
    const truth = await this.truth(db)
    await until(() => expect(this.rows).toEqual(truth))
    expect(this.faults).toEqual([])
    expect(this.watch.live.checksum).toEqual(this.checksum)
  }

  /** The checksum of this client's rows. */
  get checksum(): { epoch: string; seq: number; count: number; checksum: string } {
    const rows = this.rows as { _id: string; rev?: number }[]
    return { epoch: this.epoch, seq: this.seq, count: rows.length, checksum: rowsChecksum(rows) }
  }
}
