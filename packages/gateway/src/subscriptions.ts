import { createHash } from 'node:crypto'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { asError, type Principal } from '@taskfleet/core'
import {
  type AttentionSource,
  type AttentionWatch,
  boundsOf,
  compileFilter,
  compileQuery,
  type LiveQueries,
  type LiveQuery,
  type StatsWatch,
  visibleTo,
  type Watch,
} from '@taskfleet/core/internal'
import {
  type AttentionRows,
  type ChecksumAnswer,
  type CollectionName,
  FleetError,
  type QueryReset,
  type ResetReason,
  type StatsAnswer,
  type SubscribeAnswer,
  type SubscribeQuery,
} from '@taskfleet/protocol'
import { given } from '@taskfleet/protocol/internal'
import pLimit, { type LimitFunction } from 'p-limit'
import type { Logger } from 'pino'
import type { Namespace, Socket } from 'socket.io'
import type { Accounts } from './accounts.ts'
import { type Backlog, MOST_UNREAD_BYTES } from './backlog.ts'
import { bytesOfDeltas, bytesOfRows, SnapshotParts } from './snapshot-parts.ts'
import { type Kind, LIMITS } from './subscription-limits.ts'

/** The most bytes of rows in one message, for clients that take parts. Others get up to `MOST_UNREAD_BYTES`, and no more. */
const WHOLE_BYTES = 512 * 1024
/** While parts are sent, so many bytes may be unread, so that a client that has read them is not behind at once. */
const PARTS_UNREAD_BYTES = 512 * 1024
/** Deltas with fewer bytes in memory are sent without a look at their size: encoded, a byte takes six at most, in `\u0001`. */
const SMALL_DELTA_BYTES = 40 * 1024

/** The clients of one view. */
interface Room<W> {
  id: string
  sockets: Set<Socket>
  watch: Promise<W>
  /** The view, once it is exact. */
  opened?: W
}

type AnyWatch = Watch | StatsWatch | AttentionWatch
type AnyRoom = Room<Watch> | Room<StatsWatch> | Room<AttentionWatch>

/** The subscriptions of one connection. */
interface Held {
  principal: string
  /** How often it has subscribed to each room. */
  shares: Map<string, number>
  /** Rooms that send it nothing until it has their current state, which is on its way or will be when it reads again. */
  missed: Map<string, SnapshotParts>
  takesParts: boolean
  /** Answers with snapshots, and parts, one after the other. */
  answers: LimitFunction
}

/** The content of an answer, and its size in bytes. */
interface Content {
  body: Pick<SubscribeAnswer, 'rows' | 'deltas' | 'parts'>
  bytes: number
}

/**
 * The subscriptions of all connections. Identical queries share a room, and each delta is serialised once for all its clients. A client
 * that does not read gets no further deltas, and the current rows when it reads again. Many rows are sent in parts (`SnapshotParts`).
 */
export class Subscriptions {
  readonly #queries: LiveQueries
  readonly #namespace: Namespace
  readonly #backlog: Backlog
  readonly #rooms = new Map<string, AnyRoom>()
  readonly #held = new Map<Socket, Held>()
  readonly #perKey = new Map<string, number>()
  readonly #accounts: Accounts
  readonly #attention: (principal: Principal) => AttentionSource
  readonly #log: Logger

  constructor(
    queries: LiveQueries,
    namespace: Namespace,
    parts: {
      accounts: Accounts
      backlog: Backlog
      /** What needs somebody, within the reach of a key. */
      attention: (principal: Principal) => AttentionSource
      log: Logger
    },
  ) {
    this.#attention = parts.attention
    this.#log = parts.log
    this.#backlog = parts.backlog
    this.#accounts = parts.accounts
    this.#queries = queries
    this.#namespace = namespace
  }

  /** @throws {FleetError} `TOO_MANY_SUBSCRIPTIONS`, `TOO_MANY_WATCHES`, `TOO_MANY_BYTES`, `TOO_BIG`, `QUERY_NOT_INDEXED`, and what `compileQuery` throws */
  async subscribe(
    socket: Socket,
    principal: Principal,
    request: { resume?: { epoch: string; seq: number } | undefined },
  ): Promise<SubscribeAnswer> {
    const { resume, ...query } = request
    const { collection = 'tasks' } = query as { collection?: CollectionName }
    const compiled = compileQuery(query, boundsOf(principal, collection))
    const id = `${isOneTask(query) ? 't' : 'q'}_${digest(compiled.key)}`
    const open = (): Promise<Watch> =>
      this.#queries.watch(
        compiled,
        {
          delta: (delta, bytes) => {
            const size = bytes <= SMALL_DELTA_BYTES ? bytes : bytesOfDeltas([delta], MOST_UNREAD_BYTES)
            this.#emit(id, 'queryDelta', delta, size)
          },
          reset: (reset) => this.#reset(id, reset),
          // When they subscribe again, they are refused with the reason.
          outgrown: () => {
            for (const socket of [...(this.#rooms.get(id)?.sockets ?? [])]) socket.disconnect(true)
          },
        },
        { owner: principal.id, admit: () => this.#accounts.checkBytes(socket) },
      )
    const content = (live: LiveQuery): Content => this.#contentFor(socket, id, live, resume)
    const { live } = await this.#share(socket, principal, id, open, ({ live }) => content(live).bytes)
    const { body } = content(live)
    if (body.parts) this.#holdBack(socket, id, this.#held.get(socket)?.missed.get(id)?.reason)
    else this.#join(socket, id)
    return { subscription: id, ...placeOf(live), ...body }
  }

  /** @throws {FleetError} `TOO_BIG` for a client that does not take parts */
  #contentFor(socket: Socket, id: string, live: LiveQuery, resume: SubscribeQuery['resume']): Content {
    const held = this.#held.get(socket)
    const takesParts = held?.takesParts === true
    // Another subscription of this client is getting the rows in parts. Now both get them, from the first part on.
    if (takesParts && held?.missed.has(id)) return { body: { parts: true }, bytes: 0 }
    const deltas = resume === undefined ? null : live.replay(resume)
    if (deltas !== null) {
      const bytes = bytesOfDeltas(deltas, WHOLE_BYTES)
      const body = { deltas: deltas.map((delta) => ({ subscription: id, ...delta })) }
      if (bytes <= WHOLE_BYTES) return { body, bytes }
    }
    const { rows } = live
    const bytes = bytesOfRows(rows, MOST_UNREAD_BYTES)
    if (bytes <= (takesParts ? WHOLE_BYTES : MOST_UNREAD_BYTES)) return { body: { rows }, bytes }
    if (takesParts) return { body: { parts: true }, bytes: 0 }
    throw new FleetError(
      'TOO_BIG',
      "The rows have more than 1 MiB, and this client doesn't take them in parts. Update the client, request fewer fields, or set a smaller limit",
      { field: 'limit' },
    )
  }

  /** @throws {FleetError} `TOO_MANY_SUBSCRIPTIONS`, `QUERY_NOT_INDEXED`, and what `compileFilter` throws */
  async subscribeStats(socket: Socket, principal: Principal, filter: unknown = {}): Promise<StatsAnswer> {
    const own = compileFilter(filter)
    const bounds = visibleTo(principal)
    const bounded = bounds === undefined ? own : { $and: [bounds, own] }
    const id = `s_${digest(JSON.stringify([bounds ?? null, filter]))}`
    const open = (): Promise<StatsWatch> =>
      this.#queries.watchStats(bounded, (changes, seq) => this.#emit(id, 'statsDelta', { seq, changes }), {
        owner: principal.id,
      })
    const { live } = await this.#share(socket, principal, id, open, () => 0)
    this.#join(socket, id)
    return { subscription: id, seq: live.seq, stats: live.stats }
  }

  /** @throws {FleetError} `TOO_MANY_SUBSCRIPTIONS`, `QUERY_TOO_SLOW` */
  async subscribeAttention(socket: Socket, principal: Principal): Promise<AttentionRows> {
    const { queues, names } = principal
    const reach = JSON.stringify([queues ?? null, names ?? null])
    const id = `a_${digest(reach)}`
    const open = (): Promise<AttentionWatch> =>
      this.#queries.watchAttention(
        reach,
        this.#attention(principal),
        (now, bytes) => this.#emit(id, 'attentionRows', now, bytes),
        { owner: principal.id },
      )
    const { live } = await this.#share(socket, principal, id, open, ({ live }) => live.bytes)
    this.#join(socket, id)
    return { subscription: id, ...live.attention, rows: [...live.attention.rows] }
  }

  /** @throws {FleetError} `NOT_FOUND` for an unknown subscription of this connection */
  async checksum(socket: Socket, id: string): Promise<ChecksumAnswer> {
    const room = this.#heldBy(socket)?.shares.has(id) ? this.#rooms.get(id) : undefined
    if (room === undefined || id.startsWith('s_') || id.startsWith('a_')) {
      throw new FleetError('NOT_FOUND', 'This connection has no such live query', { field: 'subscription' })
    }
    return (await (room as Room<Watch>).watch).live.checksum
  }

  /** Unsubscribing from an unknown subscription is no error. */
  unsubscribe(socket: Socket, id: string): void {
    this.#release(socket, id)
  }

  leave(socket: Socket): void {
    const shares = this.#heldBy(socket)?.shares ?? new Map<string, number>()
    for (const [id, count] of shares) {
      for (let share = 0; share < count; share += 1) this.#release(socket, id)
    }
    this.#held.delete(socket)
  }

  get size(): number {
    return this.#rooms.size
  }

  /** How many subscriptions all connections have. */
  get shares(): number {
    return [...this.#held.values()].flatMap(({ shares }) => [...shares.values()]).reduce((sum, count) => sum + count, 0)
  }

  #heldBy(socket: Socket): Held | undefined {
    return this.#held.get(socket)
  }

  /**
   * Takes a share of a room. Resolves when its view is exact and the client has read enough to get an answer, which must then be
   * sent at once: the next delta is the one after it.
   *
   * @param bytes the size of the answer; throws if it can't be given
   */
  async #share<W extends AnyWatch>(
    socket: Socket,
    principal: Principal,
    id: string,
    open: () => Promise<W>,
    bytes: (watch: W) => number,
  ): Promise<W> {
    const held = this.#held.get(socket) ?? {
      principal: principal.id,
      shares: new Map<string, number>(),
      missed: new Map<string, SnapshotParts>(),
      takesParts: socket.handshake.auth.parts === true,
      answers: pLimit(1),
    }
    this.#held.set(socket, held)
    const kind = kindOf(id)
    const { perSocket, perKey, code, what } = LIMITS[kind]
    const key = keyOf(principal.id, kind)
    const ofKey = this.#perKey.get(key) ?? 0
    if (sharesOf(held, kind) >= perSocket) throw new FleetError(code, `At most ${perSocket} ${what} for one connection`)
    if (ofKey >= perKey) throw new FleetError(code, `At most ${perKey} ${what} with one key`)
    this.#accounts.checkBytes(socket)
    this.#perKey.set(key, ofKey + 1)
    for (const account of this.#accounts.of(socket)) account.take(id, () => bytesOf(this.#rooms.get(id)))
    held.shares.set(id, (held.shares.get(id) ?? 0) + 1)
    const room = (this.#rooms.get(id) as Room<W> | undefined) ?? { id, sockets: new Set<Socket>(), watch: open() }
    this.#rooms.set(id, room as unknown as AnyRoom)
    room.sockets.add(socket)
    try {
      const watch = await room.watch
      room.opened = watch
      this.#accounts.checkBytes(socket)
      await this.#turn(socket, held, () => bytes(watch))
      // The client may have disconnected or unsubscribed while the view was being read.
      if (!socket.connected || !held.shares.has(id)) throw new FleetError('GONE', 'This subscription was cancelled')
      // The answer of this moment may have become too large.
      bytes(watch)
      return watch
    } catch (error) {
      this.#release(socket, id)
      throw error
    }
  }

  #release(socket: Socket, id: string): void {
    const held = this.#held.get(socket)
    const count = held?.shares.get(id)
    const room = this.#rooms.get(id)
    if (held === undefined || count === undefined || room === undefined) return
    const key = keyOf(held.principal, kindOf(id))
    const ofKey = (this.#perKey.get(key) ?? 1) - 1
    if (ofKey > 0) this.#perKey.set(key, ofKey)
    else this.#perKey.delete(key)
    for (const account of this.#accounts.of(socket)) account.give(id)
    if (count > 1) {
      held.shares.set(id, count - 1)
      return
    }
    held.shares.delete(id)
    held.missed.delete(id)
    void socket.leave(id)
    room.sockets.delete(socket)
    if (room.sockets.size > 0) return
    this.#rooms.delete(id)
    room.watch.then(
      (watch) => watch.close(),
      () => undefined,
    )
  }

  /** A client that is getting the current state of a room joins it after that. */
  #join(socket: Socket, id: string): void {
    if (!this.#held.get(socket)?.missed.has(id)) void socket.join(id)
  }

  /** @param bytes about the size of the message, or the exact one if it is large */
  #emit(id: string, event: string, body: object, bytes = 0): void {
    for (const socket of this.#joined(id)) {
      if (this.#backlog.isBehind(socket)) {
        const shares = [...(this.#held.get(socket)?.shares.keys() ?? [])]
        for (const one of shares) if (socket.rooms.has(one)) this.#holdBack(socket, one, 'SLOW_CONSUMER')
      } else if (bytes > SMALL_DELTA_BYTES && !this.#backlog.fits(socket, bytes)) {
        this.#holdBack(socket, id, 'SLOW_CONSUMER')
      }
    }
    this.#namespace.to(id).emit(event, { subscription: id, ...body })
  }

  #reset(id: string, reset: Omit<QueryReset, 'subscription'>): void {
    const bytes = bytesOfRows(reset.rows, WHOLE_BYTES)
    if (bytes <= WHOLE_BYTES) this.#emit(id, 'queryReset', reset, bytes)
    else for (const socket of this.#joined(id)) this.#holdBack(socket, id, reset.reason)
  }

  /** The clients that get the deltas of a room. */
  #joined(id: string): Socket[] {
    return [...(this.#rooms.get(id)?.sockets ?? [])].filter((socket) => socket.rooms.has(id))
  }

  /** From now on no deltas are kept for a client: it gets the current state of the room when it reads. */
  #holdBack(socket: Socket, id: string, reason: ResetReason | undefined): void {
    const held = this.#held.get(socket)
    if (held === undefined) return
    const parts = new SnapshotParts(reason)
    held.missed.set(id, parts)
    void socket.leave(id)
    this.#catchUp(socket, held, id, parts).catch((error: unknown) => {
      // A disconnected client needs nothing more.
      if ((error as { code?: unknown }).code === 'GONE') return
      this.#log.error(
        { err: asError(error), id },
        'a client could not get the rows of a live query; it is disconnected',
      )
      socket.disconnect(true)
    })
  }

  /** @throws {FleetError} `GONE` */
  async #catchUp(socket: Socket, held: Held, id: string, parts: SnapshotParts): Promise<void> {
    while (held.missed.get(id) === parts) {
      // After the answer that was just given, and after what other clients have requested since the last part.
      await nextTurn()
      // In turns with the other answers and parts for this client.
      await held.answers(() => this.#sendNext(socket, held, id, parts))
    }
  }

  async #sendNext(socket: Socket, held: Held, id: string, parts: SnapshotParts): Promise<void> {
    const { opened } = this.#rooms.get(id) ?? {}
    if (opened === undefined || held.missed.get(id) !== parts) return
    const next = (): Message => messageOf(opened, held.takesParts, parts)
    await this.#backlog.untilRead(socket, () => next().bytes, held.takesParts ? PARTS_UNREAD_BYTES : MOST_UNREAD_BYTES)
    // The client may have unsubscribed in the meantime.
    if (held.missed.get(id) !== parts) return
    const { event, body, bytes, isLast, sent } = next()
    if (!held.takesParts && bytes > MOST_UNREAD_BYTES) {
      // When it subscribes again, it is refused with the reason.
      socket.disconnect(true)
      return
    }
    sent?.()
    socket.emit(event, { subscription: id, ...body })
    if (!isLast) return
    // The next delta is the one after these rows.
    held.missed.delete(id)
    void socket.join(id)
  }

  /** Resolves when a client has read enough to get an answer, which must then be sent at once. @throws {FleetError} `GONE` */
  #turn(socket: Socket, held: Held, bytes: () => number): Promise<void> {
    return new Promise((resolve, reject) => {
      const turn = async (): Promise<void> => {
        await this.#backlog.untilRead(socket, bytes)
        resolve()
        await nextTurn()
      }
      held.answers(turn).catch(reject)
    })
  }
}

/** What a client that missed changes gets next. */
interface Message {
  event: string
  body: object
  bytes: number
  isLast: boolean
  /** Called when it is sent. */
  sent?: () => void
}

function messageOf({ live }: AnyWatch, takesParts: boolean, parts: SnapshotParts): Message {
  if ('attention' in live) {
    return { event: 'attentionRows', body: live.attention, bytes: live.bytes, isLast: true }
  }
  if (!('rows' in live)) {
    return { event: 'statsDelta', body: { seq: live.seq, changes: live.stats }, bytes: 0, isLast: true }
  }
  const { rows } = live
  const place = placeOf(live)
  const { reason } = parts
  if (!takesParts) {
    const bytes = bytesOfRows(rows, MOST_UNREAD_BYTES)
    return { event: 'queryReset', body: { ...place, rows, reason }, bytes, isLast: true }
  }
  const next = parts.next(rows)
  const { part, ids, bytes } = next
  if (part === 0 && ids !== undefined && reason !== undefined) {
    return { event: 'queryReset', body: { ...place, rows, reason }, bytes, isLast: true }
  }
  const end = ids === undefined ? {} : { end: { ...place, ids, ...given({ reason }) } }
  return {
    event: 'queryPart',
    body: { part, rows: next.rows, ...end },
    bytes,
    isLast: ids !== undefined,
    sent: () => parts.sent(next, rows),
  }
}

/** A query for one task by its id alone, which is how a task is watched. */
function isOneTask({ collection = 'tasks', filter }: { collection?: unknown; filter?: unknown }): boolean {
  if (collection !== 'tasks' || typeof filter !== 'object' || filter === null) return false
  const [[field, value] = [], ...others] = Object.entries(filter)
  return field === '_id' && typeof value === 'string' && others.length === 0
}

const kindOf = (id: string): Kind => (id.startsWith('t_') ? 'watch' : 'subscription')

const keyOf = (principal: string, kind: Kind): string => `${kind} ${principal}`

function sharesOf({ shares }: Held, kind: Kind): number {
  return [...shares].reduce((sum, [id, count]) => (kindOf(id) === kind ? sum + count : sum), 0)
}

const bytesOf = (room: AnyRoom | undefined): number =>
  room?.opened !== undefined && 'bytes' in room.opened.live ? room.opened.live.bytes : 0

const digest = (key: string): string => createHash('sha256').update(key).digest('base64url').slice(0, 16)

const placeOf = ({ epoch, seq }: Pick<LiveQuery, 'epoch' | 'seq'>): { epoch: string; seq: number } => ({ epoch, seq })
