import { type Fleet, LOCAL } from '@taskfleet/core'
import { parseId } from '@taskfleet/core/internal'
import { FleetError } from '@taskfleet/protocol'
import { serverOf } from '@taskfleet/protocol/internal'
import type { Logger } from 'pino'
import type { Server, Socket } from 'socket.io'
import { io as connect } from 'socket.io-client'
import type { Access } from './access.ts'
import type { Accounts } from './accounts.ts'
import type { Attempts } from './attempts.ts'
import type { Backlog } from './backlog.ts'
import { tokenBucket } from './guard.ts'
import { connectError, MESSAGES_A_SECOND, refuseUnknown, requireTicket } from './task-socket.ts'
import type { Tickets } from './tickets.ts'
import { type Answer, isFromTask, WatcherQueue } from './watcher-queue.ts'

const NAMESPACE = /^\/relay\/([0-9a-f]{24})$/
const TO_TASK = ['cancel', 'pause', 'message'] as const
const CONNECT_MS = 5_000
const ANSWER_MS = 15_000

export interface RelayDeps {
  fleet: Fleet
  access: Access
  tickets: Tickets
  /** Tasks of this process are reached where it listens, and not at its public address. */
  attempts: Attempts | undefined
  backlog: Backlog
  accounts: Accounts
  ownUrl: () => string | undefined
  log: Logger
}

/** Relays a task's socket, with its ticket, for browsers that can't reach the worker. */
export function serveRelay(io: Server, deps: RelayDeps): void {
  const namespaces = io.of((name, _auth, next) => next(null, NAMESPACE.test(name)))
  namespaces.use((socket, next) => {
    admitted(socket, deps).then(
      (opened) => {
        // For a client that has left, there is no connection event, so the upstream connection is closed here.
        if (socket.conn.readyState !== 'open') opened.upstream.disconnect()
        socket.data.upstream = opened
        next()
      },
      (error: unknown) => {
        next(connectError(error, deps.log))
        deps.access.refused(socket.conn, error)
      },
    )
  })
  namespaces.on('connection', (socket) => {
    const { upstream, early, holder } = socket.data.upstream as Upstream
    deps.accounts.enter(socket, holder)
    const ofOne = tokenBucket(MESSAGES_A_SECOND)
    const allowed = (): boolean => ofOne() && deps.accounts.allowed(socket)
    socket.use(([event, ...args], next) => refuseUnknown(event, args, TO_TASK, allowed, next))
    const queue = new WatcherQueue(socket, deps.backlog)
    const pass = (event: string, body: unknown): void => {
      if (isFromTask(event)) queue.send(event, body)
      if (event === 'end') queue.finish()
    }
    for (const [event, body] of early.splice(0)) pass(event, body)
    upstream.offAny()
    upstream.onAny(pass)
    for (const event of TO_TASK) {
      socket.on(event, (...args: unknown[]) => {
        const asked = args.pop()
        if (typeof asked !== 'function') return
        const ack = queue.answering(asked as Answer)
        upstream.timeout(ANSWER_MS).emit(event, ...args, (error: Error | null, answer: unknown) => {
          const lost = { ok: false, error: { code: 'UNREACHABLE', message: 'The task did not answer' } }
          ack(error === null ? answer : lost)
        })
      })
    }
    upstream.on('disconnect', () => queue.finish())
    socket.on('disconnect', () => {
      upstream.disconnect()
      deps.accounts.leave(socket)
    })
    if (!upstream.connected) queue.finish()
  })
}

/** Nothing is fetched for a connection that does not read. @throws {FleetError} `GONE`, and what `open` throws */
async function admitted(socket: Socket, deps: RelayDeps): Promise<Upstream> {
  await deps.backlog.untilRead(socket)
  return open(NAMESPACE.exec(socket.nsp.name)?.[1] ?? '', socket.handshake, deps)
}

interface Upstream {
  /** The id of the ticket's key. */
  holder: string
  upstream: ReturnType<typeof connect>
  /** Messages of the task from before the relay was ready. */
  early: [string, unknown][]
}

/** @throws {FleetError} the refusal of the task's own socket, or `UNREACHABLE` */
async function open(
  id: string,
  { auth, address }: { auth: { token?: unknown }; address: string },
  { fleet, access, tickets, attempts, accounts, ownUrl }: RelayDeps,
): Promise<Upstream> {
  const { token } = auth
  const locked = await access.locked()
  if (locked) await requireTicket({ token, address }, id, { access, tickets })
  const task = await fleet.store.find(parseId(id))
  // The task's own socket checks again. This check keeps clients without a ticket from opening upstream connections.
  const { id: holder } = locked
    ? await access.counted(token, address, () => tickets.verify(token, { id, attempt: task?.attempt ?? 0 }))
    : LOCAL
  accounts.check(holder, address)
  const publicUrl = attempts?.attempt(id) === undefined ? task?.publicUrl : `${ownUrl()}/tasks/${id}`
  // Only to addresses that a worker of the fleet has registered, since the task's field could name any server.
  const known = publicUrl !== undefined && (publicUrl !== task?.publicUrl || access.knows(publicUrl, id))
  if (!known) {
    throw Object.assign(new FleetError('TASK_NOT_HERE', 'This task does not run on a worker that can be reached'), {
      data: { code: 'TASK_NOT_HERE', ...(task === null ? {} : { status: task.status }) },
    })
  }
  const { uri, path } = serverOf(publicUrl)
  const upstream = connect(uri, {
    path,
    auth: { token },
    transports: ['websocket'],
    forceNew: true,
    reconnection: false,
    timeout: CONNECT_MS,
  })
  const early: [string, unknown][] = []
  upstream.onAny((event: string, body: unknown) => early.push([event, body]))
  try {
    await new Promise<void>((resolve, reject) => {
      upstream.once('connect', resolve)
      upstream.once('disconnect', () => reject(new FleetError('UNREACHABLE', 'The worker hung up')))
      setTimeout(() => reject(new FleetError('UNREACHABLE', 'The worker does not answer')), CONNECT_MS).unref()
      upstream.once('connect_error', (error: Error & { data?: { code?: string } }) => {
        const code = error.data?.code ?? 'UNREACHABLE'
        reject(Object.assign(new FleetError(code, error.message), error.data === undefined ? {} : { data: error.data }))
      })
    })
  } catch (error) {
    upstream.disconnect()
    throw error
  }
  return { holder, upstream, early }
}
