import { readFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { GatewayProcess } from '../fleet/gateway-process.ts'
import { sendMessages, sendRequests } from '../fleet/hostile-traffic.ts'
import { seeded } from '../fleet/hostile-values.ts'
import { makeKey } from '../fleet/rest-calls.ts'
import { connect } from '../fleet/test-sockets.ts'
import { useFleet } from '../fleet/use-fleet.ts'

const MESSAGES = Number(process.env.TASKFLEET_MESSAGES ?? 20_000)
const SENDERS = 4
const MOST_GROWTH = 64 * 2 ** 20

const fleet = useFleet()
const memoryOf = async (pid: number): Promise<number> =>
  Number(/VmRSS:\s+(\d+)/.exec(await readFile(`/proc/${pid}/status`, 'utf8'))?.[1]) * 1_024

test('a gateway answers 20,000 messages and requests of hostile clients, and holds nothing of them', async () => {
  const seed = Date.now() % 1_000_000
  const token = await makeKey(fleet, { scopes: ['read', 'write', 'control'] })
  const gateway = await GatewayProcess.start(fleet.uri)
  fleet.cleanup(() => gateway.kill())
  const send = async (round: number, count: number) => {
    const pick = seeded(seed + round)
    const socket = await connect(fleet, gateway.url, token)
    const faults = [
      ...(await sendMessages(socket, 'gateway', count, pick)),
      ...(await sendRequests(gateway.url, token, Math.ceil(count / 10), pick)),
    ]
    socket.disconnect()
    return faults
  }
  // Caches, pools and compiled code are there after the first tenth.
  const warm = await send(0, MESSAGES / 10)
  const before = await memoryOf(gateway.pid)
  const each = (MESSAGES * 0.9) / SENDERS
  const rounds = await Promise.all(Array.from({ length: SENDERS }, (_, index) => send(index + 1, each)))
  expect({ seed, faults: [...warm, ...rounds.flat()] }).toEqual({ seed, faults: [] })
  const grown = (await memoryOf(gateway.pid)) - before
  expect(grown).toBeLessThan(MOST_GROWTH)
}, 900_000)
