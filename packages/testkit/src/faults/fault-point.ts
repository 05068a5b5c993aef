import { writeSync } from 'node:fs'
import { Socket } from 'node:net'

/** The points where a process can be made to die or stop: the step, and how far it is. */
export type FaultMoment = 'before' | 'sent' | 'acked' | 'start' | 'middle'
type Action = 'kill' | 'stop'

const SIGNALS: Record<Action, NodeJS.Signals> = { kill: 'SIGKILL', stop: 'SIGSTOP' }
const STDOUT = 1

/** `claim.acked=kill,complete.sent=stop`: the faults by point, each once. */
function parse(text: string): Map<string, Action> {
  const faults = text.split(',').map((one) => one.split('=') as [string, Action])
  for (const [point, action] of faults) {
    if (!Object.hasOwn(SIGNALS, action)) throw new TypeError(`TASKFLEET_FAULTS: '${point}' can be killed or stopped`)
  }
  return new Map(faults)
}

const { TASKFLEET_FAULTS } = process.env
const armed = TASKFLEET_FAULTS === undefined || TASKFLEET_FAULTS === '' ? null : parse(TASKFLEET_FAULTS)

/**
 * A point at which tests let this process die or stop. Does nothing unless `TASKFLEET_FAULTS` names it.
 *
 * @param about a text that the next message to the database holds: the process is struck when that has been handed to the
 *   network and no answer can have been read, not here
 */
export function faultPoint(what: string, moment: FaultMoment, about?: string): void {
  if (armed === null) return
  const point = `${what}.${moment}`
  const action = armed.get(point)
  if (action === undefined) return
  armed.delete(point)
  if (about === undefined) strike(point, action)
  else onceSent(about, () => strike(point, action))
}

function strike(point: string, action: Action): void {
  writeSync(STDOUT, `${JSON.stringify({ event: 'fault', point, action })}\n`)
  process.kill(process.pid, SIGNALS[action])
  // The signal may reach another thread first: nothing goes on here until it has worked.
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, action === 'kill' ? 10_000 : 20)
}

/** The driver hands a message to its socket in one piece, and the socket to the system at once. */
function onceSent(text: string, then: () => void): void {
  const { write } = Socket.prototype
  Socket.prototype.write = function (this: Socket, ...args: Parameters<Socket['write']>): boolean {
    const done = write.apply(this, args)
    if (Buffer.from(args[0] as Uint8Array).includes(text)) {
      Socket.prototype.write = write
      then()
    }
    return done
  } as Socket['write']
}
