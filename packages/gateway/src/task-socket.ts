import { asError, type Fleet, type Principal } from '@taskfleet/core'
import { parseId, requireReach, toWire } from '@taskfleet/core/internal'
import {
  type ClientToTask,
  type CommandAnswer,
  FleetError,
  type TaskConnectError,
  type TaskToClient,
} from '@taskfleet/protocol'
import { checkJson, given, TASK_TAKES } from '@taskfleet/protocol/internal'
import type { Logger } from 'pino'
import type { Namespace, Server, Socket } from 'socket.io'
import type { z } from 'zod'
import type { Access } from './access.ts'
import type { Accounts } from './accounts.ts'
import type { Attempts, RunningAttempt } from './attempts.ts'
import type { Backlog } from './backlog.ts'
import { guard, type Rule, tokenBucket } from './guard.ts'
import type { KeyHolders } from './key-holders.ts'
import type { Tickets } from './tickets.ts'
import { type Answer, WatcherQueue } from './watcher-queue.ts'

export interface TaskSocketDeps {
  fleet: Fleet
  attempts: Attempts | undefined
  access: Access
  tickets: Tickets
  log: Logger
  holders: KeyHolders
  backlog: Backlog
  accounts: Accounts
}

type TaskClientSocket = Socket<ClientToTask, TaskToClient, Record<string, never>, { holder: Principal }>

const NAMESPACE = /^\/tasks\/([0-9a-f]{24})$/
/** The most messages a second of one connection. The error names this limit. */
export const MESSAGES_A_SECOND = 30
const CLAIM_WAIT_MS = 1_000

/** Serves the namespace behind every `publicUrl`, `/tasks/<id>`, as long as the task runs here. */
export function serveTaskSockets(io: Server, deps: TaskSocketDeps): Namespace {
  const namespaces = io.of((name, _auth, next) => next(null, NAMESPACE.test(name)))
  namespaces.use((socket, next) => {
    admit(socket as TaskClientSocket, deps).then(
      () => next(),
      (error: unknown) => {
        next(connectError(error, deps.log))
        deps.access.refused(socket.conn, error)
      },
    )
  })
  namespaces.on('connection', (socket) => {
    const id = taskId(socket.nsp.name)
    const run = deps.attempts?.attempt(id)
    if (run === undefined) socket.disconnect()
    else {
      deps.holders.add(socket as unknown as Socket, socket.data.holder)
      deps.accounts.enter(socket as unknown as Socket, socket.data.holder.id)
      socket.on('disconnect', () => deps.accounts.leave(socket as unknown as Socket))
      attend(socket as TaskClientSocket, run, deps)
    }
  })
  return namespaces as unknown as Namespace
}

/** @throws {FleetError} with the code for the client */
async function admit(
  socket: TaskClientSocket,
  { fleet, attempts, access, tickets, accounts }: TaskSocketDeps,
): Promise<void> {
  const id = taskId(socket.nsp.name)
  const { address } = socket.handshake
  const token = socket.handshake.auth.token as unknown
  const locked = await access.locked()
  // Only clients with a ticket for this task may learn where it runs.
  if (locked) await requireTicket({ token, address }, id, { access, tickets })
  const run = attempts === undefined ? undefined : await attemptSoon(id, attempts, fleet)
  if (run === undefined) throw await notHere(id, fleet)
  const anonymous = !locked && (token === undefined || token === '')
  const { task } = run.claim
  const holder = anonymous
    ? await access.anonymous(address)
    : await access.counted(token, address, () => tickets.verify(token, { id, attempt: task.attempt }))
  // The key may have lost permissions since the ticket was made.
  const present = await access.present(holder.id)
  requireReach(present, task)
  accounts.check(present.id, address)
  socket.data.holder = present
}

/**
 * Requires a ticket for any attempt of this task. Clients without one must not cause reads of the database.
 *
 * @throws {FleetError} `UNAUTHENTICATED`, `WRONG_AUDIENCE`, `TOKEN_EXPIRED`, `RATE_LIMITED`
 */
export async function requireTicket(
  { token, address }: { token: unknown; address: string },
  id: string,
  { access, tickets }: Pick<TaskSocketDeps, 'access' | 'tickets'>,
): Promise<void> {
  try {
    await access.counted(token, address, () => tickets.verify(token, { id, attempt: 0 }))
  } catch (error) {
    if (!(error instanceof FleetError) || error.code !== 'STALE_ATTEMPT') throw error
  }
}

/** The address is in the database a moment before the worker has the answer to its claim. */
async function attemptSoon(id: string, attempts: Attempts, fleet: Fleet): Promise<RunningAttempt | undefined> {
  const there = attempts.attempt(id)
  if (there !== undefined) return there
  const task = await fleet.store.find(parseId(id))
  if (task?.status !== 'running' || task.worker !== attempts.id) return undefined
  for (const until = performance.now() + CLAIM_WAIT_MS; performance.now() < until; ) {
    const run = attempts.attempt(id)
    if (run !== undefined) return run
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
  return undefined
}

async function notHere(id: string, fleet: Fleet): Promise<FleetError & { data?: TaskConnectError }> {
  const task = await fleet.store.find(parseId(id))
  const error: FleetError & { data?: TaskConnectError } = new FleetError('TASK_NOT_HERE', 'This task does not run here')
  error.data = {
    code: 'TASK_NOT_HERE',
    ...(task === null ? {} : { status: task.status }),
    ...(task?.publicUrl === undefined ? {} : { publicUrl: task.publicUrl }),
  }
  return error
}

/** An error for socket.io, which sends only `message` and `data`. */
export function connectError(error: unknown, log: Logger): Error {
  const known = error instanceof FleetError
  if (!known) log.error({ err: error }, 'a connection could not be admitted')
  const code = known ? error.code : 'INTERNAL'
  const data = (error as { data?: object }).data ?? { code }
  return Object.assign(new Error(code === 'UNAUTHENTICATED' ? 'UNAUTHENTICATED' : known ? error.message : 'INTERNAL'), {
    data,
  })
}

type Asked<Event extends keyof ClientToTask> = Parameters<ClientToTask[Event]>[0]

function attend(socket: TaskClientSocket, run: RunningAttempt, deps: TaskSocketDeps): void {
  const { fleet, log, accounts } = deps
  const { holder } = socket.data
  const door = fleet.as(holder).tasks
  const id = run.claim.task._id.toHexString()
  const ofOne = tokenBucket(MESSAGES_A_SECOND)
  const allowed = (): boolean => ofOne() && accounts.allowed(socket as unknown as Socket)
  const ruled = <Event extends keyof ClientToTask>(event: Event, handle: Rule<Asked<Event>>['handle']) =>
    guard({ scope: 'control', schema: TASK_TAKES[event].payload as z.ZodType<Asked<Event>>, handle }, holder, log, () =>
      fleet.refusals.record({ by: holder.id, action: `task ${event}`, refused: 'FORBIDDEN' }),
    )
  const rules = {
    cancel: ruled('cancel', async ({ reason }) => done(await door.cancel({ id, ...given({ reason }) }))),
    pause: ruled('pause', async ({ reason }) => done(await door.pause({ id, ...given({ reason }) }))),
    message: ruled('message', async ({ name, data }) => ({ data: toWire(await run.message(name, data)) })),
  }
  socket.use(([event, ...args], next) => refuseUnknown(event, args, Object.keys(rules), allowed, next))
  const queue = new WatcherQueue(socket as unknown as Socket, deps.backlog)
  for (const [event, handle] of Object.entries(rules)) {
    socket.on(event as keyof ClientToTask, (...args: unknown[]) => {
      const ack = args.pop()
      if (typeof ack === 'function') handle(...args, queue.answering(ack as Answer))
    })
  }
  // The snapshot is taken when it is sent. A connection that does not read gets none.
  deps.backlog.untilRead(socket as unknown as Socket).then(
    () => tellAll(socket, run, queue, deps),
    () => undefined,
  )
}

function tellAll(
  socket: TaskClientSocket,
  run: RunningAttempt,
  queue: WatcherQueue,
  { attempts, log }: Pick<TaskSocketDeps, 'attempts' | 'log'>,
): void {
  if (!socket.connected) return
  if (attempts?.attempt(taskId(socket.nsp.name)) !== run) {
    queue.finish()
    return
  }
  const snapshot = run.snapshot()
  const lastLogSeq = snapshot.log.at(-1)?.seq ?? 0
  queue.send('snapshot', snapshot)
  const unwatch = run.watch({
    progress: (progress) => queue.send('progress', progress),
    log: (line) => {
      // Lines are sent a few times a second, so the snapshot may already hold lines that other watchers get now.
      if (line.seq > lastLogSeq) queue.send('log', line)
    },
    event: (event) => sendWire(log, event, (body) => queue.send('event', body)),
    end: (end) => {
      sendWire(log, end, (body) => queue.send('end', body))
      queue.finish()
    },
  })
  socket.on('disconnect', unwatch)
}

/** Sends ids, dates and bytes as all other messages do. A value that can't be sent must not fail the attempt. */
function sendWire(log: Logger, body: object, send: (body: unknown) => void): void {
  try {
    send(toWire(body))
  } catch (error) {
    log.warn({ err: asError(error) }, 'a message of a task to its watchers could not be encoded')
  }
}

/** @throws {FleetError} if the task could not be changed */
function done({ refused: [refused] }: CommandAnswer): object {
  if (refused !== undefined) throw new FleetError(refused.error.code, refused.error.message)
  return {}
}

/** Refuses unknown messages, messages beyond the limit, and values that JSON does not carry exactly. */
export function refuseUnknown(
  event: string,
  args: unknown[],
  known: readonly string[],
  allowed: () => boolean,
  next: (error?: Error) => void,
): void {
  const ack = args.at(-1)
  const refuse = (code: string, message: string, field?: string): void => {
    if (typeof ack === 'function') ack({ ok: false, error: { code, message, ...given({ field }) } })
  }
  if (!allowed()) refuse('RATE_LIMITED', `Too many messages; at most ${MESSAGES_A_SECOND} a second`)
  else if (!known.includes(event)) refuse('BAD_REQUEST', `There is no message '${String(event).slice(0, 64)}'`)
  else {
    const wrong = jsonProblem(args[0])
    if (wrong === undefined) next()
    else refuse(wrong.code, wrong.message, wrong.field)
  }
}

function jsonProblem(value: unknown): FleetError | undefined {
  try {
    checkJson(value)
    return undefined
  } catch (error) {
    return error as FleetError
  }
}

const taskId = (namespace: string): string => NAMESPACE.exec(namespace)?.[1] ?? ''
