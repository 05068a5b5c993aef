import { createHash } from 'node:crypto'
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Principal } from '@taskfleet/core'
import {
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
  type ChecksumAnswer,
  type CollectionName,
  FleetError,
  type StatsAnswer,
  type SubscribeAnswer,
} from '@taskfleet/protocol'
import pLimit, { type LimitFunction } from 'p-limit'
import type { Namespace, Socket } from 'socket.io'
import type { Accounts } from './accounts.ts'
import type { Backlog } from './backlog.ts'
import { type Kind, LIMITS } from './subscription-limits.ts'

/** Larger snapshots go to few clients at a time, so that clients that do not read hold few of them. */
const LARGE_BYTES = 512 * 1024
const LARGE_AT_ONCE = 4

/** The clients of one view. */
interface Room<W> {
  id: string
  sockets: Set<Socket>
  watch: Promise<W>
  /** The view, once it is exact. */
  opened?: W
  /** Sends the current state to a socket that missed changes. */
  present: (watch: W) => [event: string, body: object]
}

type AnyRoom = Room<Watch> | Room<StatsWatch>

/** The subscriptions of one connection. */
interface Held {
  principal: string
  /** How often it has subscribed to each room. */
  shares: Map<string, number>
  /** Rooms that send it nothing until it has their current state. */
  missed: Set<string>
  /** Whether the current state of its rooms is being sent, or will be when it reads again. */
  catchingUp: boolean
  /** Answers with snapshots, one after the other. */
  answers: LimitFunction
}

/**
 * The subscriptions of all connections. Identical queries share a room, and each delta is serialised once for all its clients. A client
 * that does not read gets no further deltas, and the current rows when it reads again.
 */
export class Subscriptions {
  readonly #queries: LiveQueries
  readonly #namespace: Namespace
  readonly #backlog: Backlog
  readonly #rooms = new Map<string, AnyRoom>()
  readonly #held = new Map<Socket, Held>()
  readonly #perKey = new Map<string, number>()
  readonly #large = pLimit(LARGE_AT_ONCE)
  readonly #accounts: Accounts

  constructor(queries: LiveQueries, namespace: Namespace, parts: { accounts: Accounts; backlog: Backlog }) {
    this.#backlog = parts.backlog
    this.#accounts = parts.accounts
    this.#queries = queries
    this.#namespace = namespace
  }

  /** @throws {FleetError} `TOO_MANY_SUBSCRIPTIONS`, `TOO_MANY_WATCHES`, `TOO_MANY_BYTES`, `TOO_BIG`, and what `compileQuery` throws */
  async subscribe(
    socket: Socket,
    principal: Principal,
    request: { resume?: { epoch: string; seq: number } | undefined },
  ): Promise<SubscribeAnswer> {
    const { resume, ...query } = request
    const { collection = 'tasks' } = query as { collection?: CollectionName }
    const compiled = compileQuery(query, boundsOf(principal, collection))
    const id = `${isOneTask(query) ? 't' : 'q'}_${digest(compiled.key)}`
    const watch = await this.#share(socket, principal, id, () => ({
      watch: this.#queries.watch(
        compiled,
        {
          delta: (delta) => this.#emit(id, 'queryDelta', delta),
          reset: (reset) => this.#emit(id, 'queryReset', reset),
          // When they subscribe again, they are refused with the reason.
          outgrown: () => {
            for (const socket of [...(this.#rooms.get(id)?.sockets ?? [])]) socket.disconnect(true)
          },
        },
        { owner: principal.id, admit: () => this.#accounts.checkBytes(socket) },
      ),
      present: ({ live }: Watch) => ['queryReset', { ...placeOf(live), rows: live.rows, reason: 'SLOW_CONSUMER' }],
    }))
    const { live } = watch as Watch
    const deltas = resume === undefined ? null : live.replay(resume)
    const common = { subscription: id, ...placeOf(live) }
    if (deltas !== null) return { ...common, deltas: deltas.map((delta) => ({ subscription: id, ...delta })) }
    return { ...common, rows: live.rows }
  }

  /** @throws {FleetError} `TOO_MANY_SUBSCRIPTIONS` and what `compileFilter` throws */
  async subscribeStats(socket: Socket, principal: Principal, filter: unknown = {}): Promise<StatsAnswer> {
    const own = compileFilter(filter)
    const bounds = visibleTo(principal)
    const bounded = bounds === undefined ? own : { $and: [bounds, own] }
    const id = `s_${digest(JSON.stringify([bounds ?? null, filter]))}`
    const watch = await this.#share(socket, principal, id, () => ({
      watch: this.#queries.watchStats(bounded, (changes, seq) => this.#emit(id, 'statsDelta', { seq, changes }), {
        owner: principal.id,
      }),
      present: ({ live }: StatsWatch) => ['statsDelta', { seq: live.seq, changes: live.stats }],
    }))
    const { live } = watch as StatsWatch
    return { subscription: id, seq: live.seq, stats: live.stats }
  }

  /** @throws {FleetError} `NOT_FOUND` for an unknown subscription of this connection */
  async checksum(socket: Socket, id: string): Promise<ChecksumAnswer> {
    const room = this.#heldBy(socket)?.shares.has(id) ? this.#rooms.get(id) : undefined
    if (room === undefined || id.startsWith('s_')) {
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

  /** Joins a room and resolves when its view is exact. */
  async #share<W extends Watch | StatsWatch>(
    socket: Socket,
    principal: Principal,
    id: string,
    open: () => Pick<Room<W>, 'watch' | 'present'>,
  ): Promise<W> {
    const held = this.#held.get(socket) ?? {
      principal: principal.id,
      shares: new Map<string, number>(),
      missed: new Set<string>(),
      catchingUp: false,
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
    const room = (this.#rooms.get(id) as Room<W> | undefined) ?? { id, sockets: new Set<Socket>(), ...open() }
    this.#rooms.set(id, room as unknown as AnyRoom)
    room.sockets.add(socket)
    try {
      const watch = await room.watch
      room.opened = watch
      this.#accounts.checkBytes(socket)
      await this.#turn(socket, held, bytesOf(room as unknown as AnyRoom))
      // The client may have disconnected or unsubscribed while the view was being read.
      if (!socket.connected || !held.shares.has(id)) throw new FleetError('GONE', 'This subscription was cancelled')
      // No await from here to the answer: the room's next delta is the one after this snapshot.
      void socket.join(id)
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

  #emit(id: string, event: string, body: object): void {
    this.#namespace.to(id).emit(event, { subscription: id, ...body })
    for (const socket of this.#rooms.get(id)?.sockets ?? []) {
      if (!this.#held.get(socket)?.missed.has(id) && this.#backlog.isBehind(socket)) this.#holdBack(socket)
    }
  }

  /** From now on no deltas are kept for it: its rows are replaced when it reads again. */
  #holdBack(socket: Socket): void {
    const held = this.#held.get(socket)
    if (held === undefined) return
    for (const id of held.shares.keys()) {
      held.missed.add(id)
      void socket.leave(id)
    }
    if (held.catchingUp) return
    held.catchingUp = true
    // A disconnected client needs nothing more.
    this.#catchUp(socket, held).catch(() => undefined)
  }

  /** @throws {FleetError} `GONE` */
  async #catchUp(socket: Socket, held: Held): Promise<void> {
    await this.#backlog.untilRead(socket)
    held.catchingUp = false
    for (const id of [...held.missed]) {
      const room = this.#rooms.get(id) as Room<Watch | StatsWatch> | undefined
      const watch = await room?.watch.catch(() => undefined)
      if (room === undefined || watch === undefined) continue
      await this.#turn(socket, held, bytesOf(room as AnyRoom))
      if (!held.missed.has(id) || !socket.connected) continue
      held.missed.delete(id)
      // First the current rows, then the deltas after them.
      const [event, body] = room.present(watch)
      socket.emit(event, { subscription: id, ...body })
      void socket.join(id)
    }
  }

  /** Resolves when a client has read enough to get a snapshot, which must then be sent at once. @throws {FleetError} `GONE` */
  #turn(socket: Socket, held: Held, bytes: number): Promise<void> {
    return new Promise((resolve, reject) => {
      const turn = async (): Promise<void> => {
        await this.#backlog.untilRead(socket)
        resolve()
        await nextTurn()
        if (bytes > LARGE_BYTES) await this.#backlog.untilRead(socket)
      }
      held.answers(() => (bytes > LARGE_BYTES ? this.#large(turn) : turn())).catch(reject)
    })
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
