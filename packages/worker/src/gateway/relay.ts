import { type Fleet, FleetError, parseId } from '@taskfleet/core'
import type { Logger } from 'pino'
import type { Server } from 'socket.io'
import { io as connect } from 'socket.io-client'
import type { Access } from './access.ts'
import { tokenBucket } from './guard.ts'
import { connectError, refuseUnknown } from './task-socket.ts'

const NAMESPACE = /^\/relay\/([0-9a-f]{24})$/
const FROM_TASK = ['snapshot', 'progress', 'log', 'event', 'end'] as const
const TO_TASK = ['cancel', 'pause', 'message'] as const
const CONNECT_MS = 5_000

/** Carries a task's socket through this gateway, for browsers that can't reach the worker. The ticket travels along. */
export function serveRelay(io: Server, deps: { fleet: Fleet; access: Access; log: Logger }): void {
  const namespaces = io.of((name, _auth, next) => next(null, NAMESPACE.test(name)))
  namespaces.use((socket, next) => {
    open(NAMESPACE.exec(socket.nsp.name)?.[1] ?? '', socket.handshake.auth.token as unknown, deps).then(
      (upstream) => {
        socket.data.upstream = upstream
        next()
      },
      (error: unknown) => next(connectError(error, deps.log)),
    )
  })
  namespaces.on('connection', (socket) => {
    const { upstream, early } = socket.data.upstream as Upstream
    const allowed = tokenBucket(30)
    socket.use(([event, ...args], next) => refuseUnknown(event, args, TO_TASK, allowed, next))
    const pass = (event: string, body: unknown): void => {
      if (event === 'progress') socket.volatile.emit(event, body)
      else socket.emit(event, body)
      if (event === 'end') socket.disconnect()
    }
    for (const [event, body] of early.splice(0)) pass(event, body)
    upstream.offAny()
    upstream.onAny((event: string, body: unknown) => {
      if ((FROM_TASK as readonly string[]).includes(event)) pass(event, body)
    })
    for (const event of TO_TASK) {
      socket.on(event, (body: unknown, ack: unknown) => {
        if (typeof ack === 'function') upstream.emit(event, body, ack)
      })
    }
    upstream.on('disconnect', () => socket.disconnect())
    socket.on('disconnect', () => upstream.disconnect())
    if (!upstream.connected) socket.disconnect()
  })
}

interface Upstream {
  upstream: ReturnType<typeof connect>
  /** What the task sent before its relay was ready to pass it on. */
  early: [string, unknown][]
}

/** @throws {FleetError} what the task's own socket refuses with, or `UNREACHABLE` */
async function open(
  id: string,
  token: unknown,
  { fleet, access }: { fleet: Fleet; access: Access },
): Promise<Upstream> {
  const task = await fleet.store.find(parseId(id))
  const { publicUrl } = task ?? {}
  // Only to addresses that a worker of the fleet has registered: the field alone could name any server.
  if (publicUrl === undefined || !access.knows(publicUrl)) {
    throw Object.assign(new FleetError('TASK_NOT_HERE', 'This task does not run on a worker that can be reached'), {
      data: { code: 'TASK_NOT_HERE', ...(task === null ? {} : { status: task.status }) },
    })
  }
  const upstream = connect(publicUrl, {
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
      upstream.once('connect_error', (error: Error & { data?: { code?: string } }) => {
        const code = error.data?.code ?? 'UNREACHABLE'
        reject(Object.assign(new FleetError(code, error.message), error.data === undefined ? {} : { data: error.data }))
      })
    })
  } catch (error) {
    upstream.disconnect()
    throw error
  }
  return { upstream, early }
}
