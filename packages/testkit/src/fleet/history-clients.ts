import { FleetClient } from '@taskfleet/client'
import {
  applyDelta,
  type QueryDelta,
  type QueryRequest,
  type QueryReset,
  type SubscribeAnswer,
  type TaskRow,
} from '@taskfleet/protocol'
import { io, type Socket } from 'socket.io-client'
import { Revisions } from '../live/revisions.ts'
import { ask } from './test-sockets.ts'

/** A client that watches a query through lost connections, and records violations of the protocol. */
export interface HistoryClient {
  readonly request: QueryRequest
  readonly rows: readonly TaskRow[]
  readonly faults: readonly string[]
  /** Resolves with the first answer. */
  open(): Promise<void>
  close(): void
}

/** With `FleetClient`, like users. */
export class LibraryClient implements HistoryClient {
  readonly request: QueryRequest
  readonly #client: FleetClient
  readonly #revisions: Revisions
  rows: readonly TaskRow[] = []

  constructor(url: string, request: QueryRequest, reborn: ReadonlySet<string>) {
    this.request = request
    this.#client = new FleetClient({ url })
    this.#revisions = new Revisions(reborn)
  }

  get faults(): readonly string[] {
    return this.#revisions.faults
  }

  async open(): Promise<void> {
    await this.#client.subscribe<'tasks'>({ ...this.request, collection: 'tasks' }, (rows, delta, reason) => {
      this.rows = rows
      if (reason === 'AUDIT') this.#revisions.faults.push('an audit had to mend the view')
      if (delta === null) this.#revisions.newEpoch(rows)
      else this.#revisions.see([...delta.added, ...delta.changed].map(({ row }) => row))
    })
  }

  close(): void {
    this.#client.close()
  }
}

/** On a plain socket, following docs/protocol.md alone. */
export class PlainClient implements HistoryClient {
  readonly request: QueryRequest
  readonly #socket: Socket
  readonly #revisions: Revisions
  rows: readonly TaskRow[] = []
  #place: { subscription: string; epoch: string; seq: number } | undefined
  /** Messages that came before the answer was processed; null while no answer is awaited. */
  #early: (() => void)[] | null = null
  #opened: () => void = () => undefined

  constructor(url: string, request: QueryRequest, reborn: ReadonlySet<string>) {
    this.request = request
    this.#revisions = new Revisions(reborn)
    this.#socket = io(url, { transports: ['websocket'], forceNew: true, autoConnect: false, reconnectionDelayMax: 500 })
    this.#socket.on('connect', () => void this.#subscribe())
    this.#socket.on('disconnect', (reason) => {
      if (reason === 'io server disconnect') this.#socket.connect()
    })
    this.#socket.on('queryDelta', (delta: QueryDelta<TaskRow>) => this.#inTurn(() => this.#delta(delta)))
    this.#socket.on('queryReset', (reset: QueryReset<TaskRow>) => this.#inTurn(() => this.#reset(reset)))
  }

  get faults(): readonly string[] {
    return this.#revisions.faults
  }

  open(): Promise<void> {
    this.#socket.connect()
    return new Promise((resolve) => {
      this.#opened = resolve
    })
  }

  close(): void {
    this.#socket.disconnect()
  }

  async #subscribe(): Promise<void> {
    const connection = this.#socket.id
    this.#early = []
    const { epoch, seq } = this.#place ?? {}
    const resume = epoch === undefined ? {} : { resume: { epoch, seq } }
    const answer = await ask<SubscribeAnswer<TaskRow>>(this.#socket, 'subscribeQuery', {
      ...this.request,
      ...resume,
    }).catch(() => undefined)
    // A later connection subscribes itself.
    if (connection === undefined || this.#socket.id !== connection) return
    if (answer?.ok !== true) {
      // The database may be away for a moment; a new connection subscribes again.
      this.#socket.disconnect().connect()
      return
    }
    if (answer.deltas === undefined) this.#reset({ ...answer, rows: answer.rows ?? [], reason: 'RESUME_TOO_OLD' })
    else for (const delta of answer.deltas) this.#delta(delta)
    const early = this.#early
    this.#early = null
    for (const act of early) act()
    this.#opened()
  }

  #inTurn(act: () => void): void {
    if (this.#early === null) act()
    else this.#early.push(act)
  }

  #delta(delta: QueryDelta<TaskRow>): void {
    const place = this.#place
    if (place === undefined || delta.subscription !== place.subscription) {
      this.#revisions.faults.push(`a delta of ${delta.subscription}, which was not asked for`)
      return
    }
    if (delta.seq !== place.seq + 1) this.#revisions.faults.push(`a gap: ${place.seq} is followed by ${delta.seq}`)
    place.seq = delta.seq
    this.rows = applyDelta<TaskRow>(this.rows, delta)
    this.#revisions.see([...delta.added, ...delta.changed].map(({ row }) => row))
    if (this.rows.length > this.request.limit!) this.#revisions.faults.push(`${this.rows.length} rows`)
  }

  #reset({ subscription, epoch, seq, rows, reason }: QueryReset<TaskRow>): void {
    if (reason === 'AUDIT') this.#revisions.faults.push('an audit had to mend the view')
    this.#place = { subscription, epoch, seq }
    this.rows = rows
    this.#revisions.newEpoch(rows)
  }
}
