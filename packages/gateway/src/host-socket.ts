import type { Principal } from '@taskfleet/core'
import { requireScope } from '@taskfleet/core/internal'
import { type ClientToHost, FleetError, type Scope, type WatchedTask } from '@taskfleet/protocol'
import { HOST_TAKES, outerShape } from '@taskfleet/protocol/internal'
import type { Server, Socket } from 'socket.io'
import type { z } from 'zod'
import { guard, type Rule, tokenBucket } from './guard.ts'
import { HostLine, HostRefusal } from './host-line.ts'
import { HostTasks, type Wants } from './host-tasks.ts'
import { connectError, MESSAGES_A_SECOND, refuseUnknown, type TaskSocketDeps } from './task-socket.ts'

/** A host's socket stands on the same parts as that of a task. */
export type HostSocketDeps = TaskSocketDeps

/** What serves the messages of one connection: the tasks of this process, or a line to another host. */
interface WatchedHost {
  watch(ids: readonly string[], wants: Wants): Promise<WatchedTask[]>
  unwatch(ids: readonly string[]): Promise<void> | void
  message(id: string, name: string, data: unknown): Promise<unknown>
  close(): void
}

const NAMESPACE = /^(\/relay)?\/hosts\/([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})$/
/** A page that opens watches the tasks of a host at once. */
const BURST_S = 3

/**
 * Serves `/hosts/<worker>`, where one connection watches many tasks of the worker of this process, and `/relay/hosts/<worker>`, the same
 * for clients that can't reach that worker.
 */
export function serveHostSockets(io: Server, deps: HostSocketDeps): void {
  const namespaces = io.of((name, _auth, next) => next(null, NAMESPACE.test(name)))
  namespaces.use((socket, next) => {
    admit(socket, deps).then(
      (admitted) => {
        // For a client that has left, there is no connection event.
        if (socket.conn.readyState !== 'open') admitted.line?.close()
        socket.data.admitted = admitted
        next()
      },
      (error: unknown) => {
        next(connectError(error, deps.log))
        // The connection may be that of a whole page, and another host's refusal is no wrong token of its client.
        if (!(error instanceof HostRefusal)) deps.access.refused(socket.conn, error)
      },
    )
  })
  namespaces.on('connection', (socket) => attend(socket, socket.data.admitted as Admitted, deps))
}

interface Admitted {
  holder: Principal
  /** The line to another host; absent for the tasks of this process. */
  line?: HostLine
}

/** @throws {FleetError} with the code for the client */
async function admit(socket: Socket, deps: HostSocketDeps): Promise<Admitted> {
  const [, relayed, worker = ''] = NAMESPACE.exec(socket.nsp.name) ?? []
  const { access, tickets, attempts, accounts, backlog } = deps
  const { address } = socket.handshake
  const token = socket.handshake.auth.token as unknown
  const anonymous = !(await access.locked()) && (token === undefined || token === '')
  const holder = anonymous
    ? await access.anonymous(address)
    : await access.counted(token, address, () => tickets.verifyForHost(token, worker))
  // The key may have lost permissions since the ticket was made.
  const present = await access.present(holder.id)
  requireScope(present, 'read')
  accounts.check(present.id, address)
  if (attempts?.id === worker) return { holder: present }
  const url = relayed === undefined ? undefined : access.addressOf(worker)
  if (url === undefined) throw new FleetError('HOST_NOT_HERE', 'This worker can not be reached here')
  // Nothing is fetched for a connection that does not read.
  await backlog.untilRead(socket)
  return { holder: present, line: await HostLine.open(`${url}/hosts/${worker}`, token) }
}

/** Made once, for all connections. */
const SCHEMAS = Object.fromEntries(
  Object.entries(HOST_TAKES).map(([event, { scope, payload }]) => [event, { scope, schema: outerShape(payload) }]),
) as Record<keyof ClientToHost, { scope: Scope; schema: z.ZodType }>

type Asked<Event extends keyof ClientToHost> = Parameters<ClientToHost[Event]>[0]

function attend(socket: Socket, { holder, line }: Admitted, deps: HostSocketDeps): void {
  const { attempts, log, accounts, holders, fleet } = deps
  accounts.enter(socket, holder.id)
  holders.add(socket, holder)
  line?.attach(socket, deps)
  const host: WatchedHost = line ?? new HostTasks(socket, holder, { ...deps, attempts: attempts! })
  const ruled = <Event extends keyof ClientToHost>(event: Event, handle: Rule<Asked<Event>>['handle']) => {
    const { scope, schema } = SCHEMAS[event]
    const rule = { scope, schema: schema as z.ZodType<Asked<Event>>, handle }
    return guard(rule, holder, log, () =>
      fleet.refusals.record({ by: holder.id, action: `host ${event}`, refused: 'FORBIDDEN' }),
    )
  }
  const rules = {
    watchTasks: ruled('watchTasks', async ({ ids, logs, events }) => ({
      tasks: await host.watch(ids, { logs, events }),
    })),
    unwatchTasks: ruled('unwatchTasks', async ({ ids }) => {
      await host.unwatch(ids)
      return {}
    }),
    messageTask: ruled('messageTask', async ({ id, name, data }) => {
      const answer = await host.message(id, name, data)
      return answer === undefined ? {} : { data: answer }
    }),
  }
  const ofOne = tokenBucket(MESSAGES_A_SECOND, MESSAGES_A_SECOND * BURST_S)
  const allowed = (): boolean => ofOne() && accounts.allowed(socket)
  socket.use(([event, ...args], next) => refuseUnknown(event, args, Object.keys(rules), allowed, next))
  for (const [event, handle] of Object.entries(rules)) socket.on(event, handle)
  socket.on('disconnect', () => {
    host.close()
    accounts.leave(socket)
  })
}
