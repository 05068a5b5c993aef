import { once } from 'node:events'
import { createServer, type IncomingHttpHeaders } from 'node:http'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import { webhookHeaders } from '@taskfleet/core/internal'
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest'
import { fakeTask } from './fake-context.ts'
import { type TestBed, testBed } from './test-bed.ts'

let bed: TestBed
beforeAll(async () => {
  bed = await testBed({ files: { 'a.bin': { size: 1000 } } })
})
afterAll(() => bed.close())

/** Answers each request with the next of these statuses, and the last one from then on. */
async function receiver(...statuses: number[]) {
  const calls: { body: string; headers: IncomingHttpHeaders }[] = []
  const server = createServer(async (request, response) => {
    calls.push({ body: await text(request), headers: request.headers })
    response.writeHead(statuses.length > 1 ? statuses.shift()! : statuses[0]!, { location: '/elsewhere' }).end()
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  return { calls, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook?token=1` }
}
let files = 0
const input = (webhook: string) => ({ url: `${bed.server.url}/a.bin`, file: `w${++files}`, after: { webhook } })

describe('a webhook', () => {
  test('gets the output, signed', async () => {
    const { calls, url } = await receiver(204)
    const task = fakeTask()
    const output = await bed.run(input(url), { webhookSecret: 's' }, task)
    expect(calls).toHaveLength(1)
    const { body, headers } = calls[0]!
    expect(JSON.parse(body)).toEqual({ event: 'downloaded', task: task.id, output })
    const [, seconds] = /^t=(\d+),v1=[0-9a-f]{64}$/.exec(String(headers['taskfleet-signature']))!
    vi.spyOn(Date, 'now').mockReturnValueOnce(Number(seconds) * 1_000)
    expect(headers).toMatchObject(webhookHeaders(body, 's'))
  })

  test('that fails is called again, in the same attempt and in the next', async () => {
    const { calls, url } = await receiver(500, 200)
    await bed.run(input(url), { webhookSecret: '' })
    expect([calls.length, calls[0]!.headers['taskfleet-signature']]).toEqual([2, undefined])
    const task = fakeTask()
    const moved = await receiver(302)
    const again = input(moved.url)
    expect(await bed.code(again, {}, task)).toBe('WEBHOOK_FAILED')
    expect(moved.calls).toHaveLength(4)
    expect(await bed.code(again, {}, task)).toBe('WEBHOOK_FAILED')
    expect(await bed.files()).toContain(again.file)
  })

  test('may be dialled only where downloads may', async () => {
    const { calls, url } = await receiver(200)
    expect(await bed.code(input('http://169.254.169.254/'))).toBe('BLOCKED_ADDRESS')
    const own = new URL(url)
    expect(await bed.code(input(url), { blockedAddresses: [`127.0.0.1:${own.port}`] })).toBe('BLOCKED_ADDRESS')
    own.hostname = 'localhost'
    expect(await bed.code(input(own.href), { blockedAddresses: [`127.0.0.1:${own.port}`, `[::1]:${own.port}`] })).toBe(
      'BLOCKED_ADDRESS',
    )
    expect(await bed.code(input('ftp://a.example/'))).toBe('BAD_SCHEME')
    expect(calls).toEqual([])
  })

  test('is not called by an attempt that was cancelled', async () => {
    const { calls, url } = await receiver(500)
    const attempt = bed.start(input(url))
    await expect.poll(() => calls.length).toBe(1)
    attempt.abort('CANCELLED')
    await expect(attempt.ended).rejects.toMatchObject({ code: 'CANCELLED' })
  })
})
