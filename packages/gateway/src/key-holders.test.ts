import { LOCAL } from '@taskfleet/core'
import { silent as log } from '@taskfleet/testkit/fleet/test-sockets'
import type { Socket } from 'socket.io'
import { expect, test, vi } from 'vitest'
import type { Access } from './access.ts'
import { KeyHolders } from './key-holders.ts'

test('a connection that creates the first key gets its token before it is closed', async () => {
  let looks = 0
  const principals = async (): Promise<Map<string, unknown>> => {
    looks += 1
    return new Map()
  }
  const access = { keys: { principals }, locked: async () => true } as unknown as Access
  const holders = new KeyHolders(access, { log, everyMs: 5, now: () => new Date() })
  const disconnect = vi.fn()
  const socket = { disconnect, on: () => undefined } as unknown as Socket
  holders.add(socket, LOCAL)
  let made: (token: string) => void = () => undefined
  const answer = holders.whileChanging(socket, new Promise<string>((resolve) => (made = resolve)))
  await holders.start()
  try {
    await expect.poll(() => looks).toBeGreaterThan(2)
    expect(disconnect).not.toHaveBeenCalled()
    made('tf_first')
    expect(await answer).toBe('tf_first')
    await expect.poll(() => disconnect.mock.calls.length).toBeGreaterThan(0)
  } finally {
    await holders.stop()
  }
})
