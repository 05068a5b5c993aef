import type { DroppedMessages, LogLine, Progress, TaskSnapshot, TicketAnswer } from '@taskfleet/protocol'
import { scriptedInput } from '@taskfleet/testkit/fleet/scripted-task'
import { asked, connect, open, ownQueue, startGateway, stopReading } from '@taskfleet/testkit/fleet/test-sockets'
import { eventually, useFleet } from '@taskfleet/testkit/fleet/use-fleet'
import { defineTask } from '@taskfleet/worker'
import type { Socket as ServerSocket } from 'socket.io'
import type { Socket } from 'socket.io-client'
import { expect, test } from 'vitest'
import { waitingBytes } from './backlog.ts'

const fleet = useFleet()
const MIB = 1024 * 1024
const EVENTS = 120
const LINES = 400

/** Says more than the buffers of a stopped connection hold. */
const noisy = defineTask({
  name: 'noisy',
  input: scriptedInput,
  async run({ log, progress, socket, signal }) {
    const ended = new Promise((resolve) => signal.addEventListener('abort', resolve))
    let events = 0
    socket.on('event', () => {
      for (let n = 0; n < 5; n += 1) socket.emit('big', { n: ++events, pad: 'e'.repeat(200_000) })
    })
    let lines = 0
    socket.on('lines', () => {
      for (let n = 0; n < LINES / 8; n += 1) log.info(`${++lines} ${'l'.repeat(3_000)}`)
      progress({ done: lines, total: LINES })
    })
    await ended
  },
})

interface Heard {
  socket: Socket
  snapshots: TaskSnapshot[]
  events: number[]
  lines: number[]
  dropped: DroppedMessages[]
  progress?: Progress
}

async function watch(url: string): Promise<Heard> {
  const socket = open(url)
  fleet.cleanup(() => socket.disconnect())
  const heard: Heard = { socket, snapshots: [], events: [], lines: [], dropped: [] }
  socket.on('snapshot', (snapshot: TaskSnapshot) => heard.snapshots.push(snapshot))
  socket.on('event', ({ data }: { data: { n: number } }) => heard.events.push(data.n))
  socket.on('log', ({ seq }: LogLine) => heard.lines.push(seq))
  socket.on('dropped', (dropped: DroppedMessages) => heard.dropped.push(dropped))
  socket.on('progress', (progress: Progress) => {
    heard.progress = progress
  })
  await eventually(() => heard.snapshots.length > 0)
  return heard
}

/** A running `noisy` task, and how much has waited at most for any client of its socket or of the relay. */
async function noisyTask() {
  let most = 0
  const options = {
    isBehind: (socket: ServerSocket) => {
      const bytes = waitingBytes(socket)
      most = Math.max(most, bytes)
      return bytes > MIB / 2
    },
  }
  const queue = ownQueue()
  const runner = await fleet.runner({ queue, tasks: [noisy] })
  const task = await fleet.fleet.enqueue(noisy, { steps: [] }, { queue })
  const id = task._id.toHexString()
  await fleet.runsAt(runner, task)
  const worker = await startGateway(fleet, { ...options, runner })
  const relay = await startGateway(fleet, { ...options, runner })
  const gateway = await connect(fleet, relay.url!)
  const { relayUrl } = await asked<TicketAnswer>(gateway, 'taskTicket', { id })
  return { worker, straight: `${worker.url}/tasks/${id}`, relayed: relayUrl, most: () => most }
}

test.each(['straight', 'relayed'] as const)(
  'a watcher that stops reading costs a megabyte, then gets the newest data and the number of missed lines: %s',
  async (way) => {
    const running = await noisyTask()
    const reading = await watch(running[way])
    const stopped = await watch(running[way])
    const resume = stopReading(stopped.socket)
    const loud = (name: string): Promise<unknown> => asked(reading.socket, 'message', { name })
    for (let n = 5; n <= EVENTS; n += 5) {
      await loud('event')
      await eventually(() => reading.events.length === n)
    }
    for (let n = 1; n <= 8; n += 1) {
      await loud('lines')
      await eventually(() => reading.lines.length === (n * LINES) / 8)
    }
    await eventually(() => reading.progress?.done === LINES)
    expect(running.most()).toBeLessThan(MIB)
    expect(reading.dropped).toEqual([])
    resume()
    await eventually(() => stopped.progress?.done === LINES && stopped.lines.at(-1) === LINES)
    const sum = (count: (one: DroppedMessages) => number): number =>
      stopped.dropped.reduce((total, one) => total + count(one), 0)
    expect(stopped.events.length + sum(({ events }) => events)).toBe(EVENTS)
    expect(stopped.lines.length + sum(({ lines }) => lines)).toBe(LINES)
    expect(sum(({ events }) => events)).toBeGreaterThan(0)
    expect(sum(({ lines }) => lines)).toBeGreaterThan(0)
    await loud('event')
    await eventually(() => stopped.events.at(-1) === EVENTS + 5)
    stopReading(stopped.socket)
  },
)

test('a client that does not read does not keep a gateway from stopping', async () => {
  const running = await noisyTask()
  const reading = await watch(running.straight)
  const stopped = await watch(running.straight)
  stopReading(stopped.socket)
  for (let n = 5; n <= EVENTS; n += 5) {
    await asked(reading.socket, 'message', { name: 'event' })
    await eventually(() => reading.events.length === n)
  }
  const from = performance.now()
  await running.worker.stop()
  expect(performance.now() - from).toBeLessThan(10_000)
})

test('a client that requests lists and does not read has one answer waiting, and gets all of them when it reads', async () => {
  const queue = ownQueue()
  const pad = 'p'.repeat(20_000)
  await fleet.fleet.as().tasks.enqueueMany({
    tasks: Array.from({ length: 100 }, () => ({ name: 'large', queue, input: { pad } })),
  })
  let most = 0
  const gateway = await startGateway(fleet, {
    isBehind: (socket) => {
      most = Math.max(most, waitingBytes(socket))
      return waitingBytes(socket) > MIB / 2
    },
  })
  const socket = await connect(fleet, gateway.url!)
  const list = (): Promise<{ answer: { tasks: unknown[] } }> =>
    asked(socket, 'operation', { name: 'tasks.list', request: { filter: { queue }, fields: ['input'], limit: 100 } })
  const page = (await list()).answer.tasks.length
  expect(page).toBeLessThan(100)
  const resume = stopReading(socket)
  const answers = Promise.all(Array.from({ length: 20 }, list))
  await eventually(() => most > MIB / 2)
  const other = await connect(fleet, gateway.url!)
  for (let n = 0; n < 20; n += 1)
    await asked(other, 'operation', { name: 'tasks.list', request: { filter: { queue } } })
  expect(most).toBeLessThan(1.1 * MIB)
  resume()
  for (const { answer } of await answers) expect(answer.tasks).toHaveLength(page)
})
