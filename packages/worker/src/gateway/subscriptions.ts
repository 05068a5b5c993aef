import { createHash } from 'node:crypto'
import {
  compileQuery,
  FleetError,
  type LiveQueries,
  type Principal,
  type SubscribeAnswer,
  visibleTo,
  type Watch,
} from '@taskfleet/core'
import type { Namespace, Socket } from 'socket.io'

const PER_SOCKET = 20

interface Room {
  id: string
  sockets: number
  watch: Promise<Watch>
}

/** Who watches which live query: those who ask the same share a room, and each delta is written once for all of them. */
export class Subscriptions {
  readonly #queries: LiveQueries
  readonly #namespace: Namespace
  readonly #rooms = new Map<string, Room>()
  /** How often each socket has asked for each room. */
  readonly #held = new WeakMap<Socket, Map<string, number>>()

  constructor(queries: LiveQueries, namespace: Namespace) {
    this.#queries = queries
    this.#namespace = namespace
  }

  /** @throws {FleetError} `TOO_MANY_SUBSCRIPTIONS` and what `compileQuery` throws */
  async subscribe(
    socket: Socket,
    principal: Principal,
    request: { resume?: { epoch: string; seq: number } | undefined },
  ): Promise<SubscribeAnswer> {
    const { resume, ...query } = request
    const { collection = 'tasks' } = query as { collection?: unknown }
    const bounds = visibleTo(principal)
    // Their documents don't say which queue they are of, so a key that is limited to some may not see any.
    if (bounds !== undefined && (collection === 'events' || collection === 'schedules' || collection === 'errors')) {
      throw new FleetError('FORBIDDEN', `A key that is limited to queues or names may not read ${collection}`, {
        field: 'collection',
      })
    }
    const compiled = compileQuery(query, collection === 'tasks' ? bounds : undefined)
    const held = this.#heldBy(socket)
    if ([...held.values()].reduce((sum, count) => sum + count, 0) >= PER_SOCKET) {
      throw new FleetError('TOO_MANY_SUBSCRIPTIONS', `At most ${PER_SOCKET} subscriptions for one connection`)
    }
    const id = `q_${createHash('sha256').update(compiled.key).digest('base64url').slice(0, 16)}`
    held.set(id, (held.get(id) ?? 0) + 1)
    const room = this.#enter(id, compiled)
    try {
      const { live } = await room.watch
      // It may have left, or given this up, while the view was being read.
      if (!socket.connected || !held.has(id)) throw new FleetError('GONE', 'This subscription was given up')
      // From here to the answer nothing may wait: the room's next delta is the one after this snapshot.
      void socket.join(id)
      const deltas = resume === undefined ? null : live.replay(resume)
      const common = { subscription: id, epoch: live.epoch, seq: live.seq }
      if (deltas !== null) return { ...common, deltas: deltas.map((delta) => ({ subscription: id, ...delta })) }
      return { ...common, rows: live.rows }
    } catch (error) {
      this.#release(socket, id)
      throw error
    }
  }

  /** Giving up what one doesn't have is no fault. */
  unsubscribe(socket: Socket, id: string): void {
    this.#release(socket, id)
  }

  leave(socket: Socket): void {
    for (const [id, count] of this.#heldBy(socket)) {
      for (let share = 0; share < count; share += 1) this.#release(socket, id)
    }
  }

  get size(): number {
    return this.#rooms.size
  }

  #heldBy(socket: Socket): Map<string, number> {
    let held = this.#held.get(socket)
    if (held === undefined) {
      held = new Map()
      this.#held.set(socket, held)
    }
    return held
  }

  #enter(id: string, compiled: ReturnType<typeof compileQuery>): Room {
    const there = this.#rooms.get(id)
    if (there !== undefined) {
      there.sockets += 1
      return there
    }
    const watch = this.#queries.watch(compiled, {
      delta: (delta) => this.#namespace.to(id).emit('queryDelta', { subscription: id, ...delta }),
      reset: (reset) => this.#namespace.to(id).emit('queryReset', { subscription: id, ...reset }),
    })
    const room = { id, sockets: 1, watch }
    this.#rooms.set(id, room)
    return room
  }

  #release(socket: Socket, id: string): void {
    const held = this.#heldBy(socket)
    const count = held.get(id)
    const room = this.#rooms.get(id)
    if (count === undefined || room === undefined) return
    if (count > 1) held.set(id, count - 1)
    else {
      held.delete(id)
      void socket.leave(id)
    }
    room.sockets -= 1
    if (room.sockets > 0) return
    this.#rooms.delete(id)
    room.watch.then(
      (watch) => watch.close(),
      () => undefined,
    )
  }
}
