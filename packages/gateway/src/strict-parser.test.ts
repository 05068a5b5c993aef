import { connect, ownQueue, startGateway } from '@taskfleet/testkit/fleet/test-sockets'
import { useFleet } from '@taskfleet/testkit/fleet/use-fleet'
import type { Socket } from 'socket.io-client'
import { expect, test } from 'vitest'

const fleet = useFleet()

/** Sends a message whose JSON is as another program writes it, and returns the answer. */
function askRaw(socket: Socket, id: number, json: string): Promise<unknown> {
  return new Promise((resolve) => {
    const { engine } = socket.io
    engine.on('data', (packet: unknown) => {
      const answer = `3${id}[`
      if (typeof packet === 'string' && packet.startsWith(answer))
        resolve(JSON.parse(packet.slice(answer.length - 1))[0])
    })
    engine.write(`2${id}${json}`)
  })
}

test('98: numbers that parsing would change, and half surrogate pairs, are refused with their path by the socket too', async () => {
  const gateway = await startGateway(fleet)
  const socket = await connect(fleet, gateway.url!)
  const queue = ownQueue()
  const enqueue = (id: number, input: string) =>
    askRaw(socket, id, `["enqueue",{"name":"x","queue":"${queue}","input":${input}}]`)
  const wrong: [string, string, string][] = [
    ['{"n":9007199254740993}', 'OUT_OF_RANGE', 'input.n'],
    ['{"a":"\\"1234567890123456789","n":[1e400]}', 'OUT_OF_RANGE', 'input.n.0'],
    ['{"\\ud800":1}', 'BAD_STRING', 'input.\ufffd'],
  ]
  for (const [index, [input, code, field]] of wrong.entries()) {
    expect(await enqueue(1_000 + index, input)).toMatchObject({ ok: false, error: { code, field } })
  }
  const sound = '{"n":6.02214076e23,"most":9007199254740991,"id":"9007199254740993"}'
  expect(await enqueue(2_000, sound)).toMatchObject({ ok: true, task: { input: JSON.parse(sound) } })
  expect(await fleet.database.db.collection('tasks').countDocuments({ queue })).toBe(1)
})
