import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { exchange, type Reply } from './http-exchange.ts'
import { type TestBed, testBed } from './test-bed.ts'

let bed: TestBed
beforeAll(async () => {
  bed = await testBed()
})
afterAll(() => bed.close())

const BODY = randomBytes(3_000_000)

interface Ending {
  version?: '1.0' | '1.1'
  /** Beside status and version. */
  head?: string
  /** How many bytes are sent; in one piece unless `pieces` says otherwise. */
  bytes: number
  pieces?: number
  /** What is said to come; nothing is said without. */
  total?: number
  afterMs: number
  how: 'reset' | 'end'
}

/** A server that ends its only answer as told. */
async function serverThat({ version = '1.1', head = '', bytes, pieces = 1, total, afterMs, how }: Ending) {
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => undefined)
    socket.once('data', async () => {
      const length = total === undefined ? '' : `Content-Length: ${total}\r\n`
      socket.write(`HTTP/${version} 200 OK\r\nETag: "1"\r\n${length}${head}\r\n`)
      const step = Math.ceil(bytes / pieces)
      for (let at = 0; at < bytes; at += step) {
        socket.write(BODY.subarray(at, Math.min(bytes, at + step)))
        if (pieces > 1) await sleep(2)
      }
      await sleep(afterMs)
      if (how === 'reset') socket.resetAndDestroy()
      else socket.end()
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  return `http://127.0.0.1:${(server.address() as { port: number }).port}/f.bin`
}

const CLOSE = 'Connection: close\r\n'
const INCOMPLETE: Record<string, Ending> = {
  'reset at once after the head': { head: CLOSE, bytes: 0, total: 3_000_000, afterMs: 0, how: 'reset' },
  'reset 5 ms after the head': { head: CLOSE, bytes: 0, total: 3_000_000, afterMs: 5, how: 'reset' },
  'reset 40 ms after the head': { head: CLOSE, bytes: 0, total: 3_000_000, afterMs: 40, how: 'reset' },
  'reset after the head, kept alive': { bytes: 0, total: 3_000_000, afterMs: 10, how: 'reset' },
  'ended right after the head': { head: CLOSE, bytes: 0, total: 3_000_000, afterMs: 0, how: 'end' },
  'ended right after the head, kept alive': { bytes: 0, total: 3_000_000, afterMs: 0, how: 'end' },
  'reset with the first bytes': { head: CLOSE, bytes: 20_000, total: 3_000_000, afterMs: 0, how: 'reset' },
  'ended half-way': { head: CLOSE, bytes: 1_000_000, total: 3_000_000, afterMs: 5, how: 'end' },
  'ended one byte before the end': { head: CLOSE, bytes: 2_999_999, total: 3_000_000, afterMs: 0, how: 'end' },
  'reset half-way, in pieces': {
    head: CLOSE,
    bytes: 1_000_000,
    pieces: 50,
    total: 3_000_000,
    afterMs: 5,
    how: 'reset',
  },
  'without a length, reset': { version: '1.0', bytes: 20_000, afterMs: 20, how: 'reset' },
  'without a length, reset at once': { version: '1.0', bytes: 0, afterMs: 0, how: 'reset' },
  'without a length, reset after much': { head: CLOSE, bytes: 2_000_000, afterMs: 20, how: 'reset' },
  'chunks without an end, ended': {
    head: `${CLOSE}Transfer-Encoding: chunked\r\n`,
    bytes: 0,
    afterMs: 5,
    how: 'end',
  },
}

describe('a connection', () => {
  test.for(Object.entries(INCOMPLETE))('%s, is no complete file and can be tried again', async ([, ending]) => {
    const code = await bed.code({ url: await serverThat(ending), file: 'f.bin', overwrite: true })
    expect(code).toMatch(/^(LENGTH_MISMATCH|CONNECTION_LOST|BAD_RESPONSE)$/)
  })

  // Where the disk is slow, or the name is not known yet, nobody reads for a while.
  test.for(Object.entries(INCOMPLETE))('%s, while nobody reads, fails when somebody does', async ([, ending]) => {
    const reply = await open(await serverThat(ending)).catch((error: unknown) => error)
    // A reset may be here before the head is.
    if (reply instanceof Error) return
    await sleep(80)
    await expect((reply as Reply).pipe({ write: () => true, onDrain: () => undefined })).rejects.toThrow()
  })

  test.for(Object.entries(INCOMPLETE))('%s, while its reader wants pauses, fails', async ([, ending]) => {
    const reply = await open(await serverThat(ending)).catch((error: unknown) => error)
    if (reply instanceof Error) return
    const sink = {
      onDrain: (): void => undefined,
      write: () => {
        setTimeout(() => sink.onDrain(), 30)
        return false
      },
    }
    await expect((reply as Reply).pipe(sink)).rejects.toThrow()
  })

  test('ended after a body without a length is the end of the file', async () => {
    const url = await serverThat({ version: '1.0', bytes: 60_000, afterMs: 0, how: 'end' })
    expect(await bed.run({ url, file: 'whole.bin' })).toMatchObject({ bytes: 60_000 })
    expect((await bed.read('whole.bin')).equals(BODY.subarray(0, 60_000))).toBe(true)
  })

  test('ended while nobody reads still gives all bytes that it brought', async () => {
    const reply = await open(await serverThat({ head: CLOSE, bytes: 200_000, total: 200_000, afterMs: 0, how: 'end' }))
    await sleep(50)
    const taken: Buffer[] = []
    const sink = {
      onDrain: (): void => undefined,
      write: (chunk: Buffer) => {
        taken.push(chunk)
        setTimeout(() => sink.onDrain(), 1)
        return false
      },
    }
    await reply.pipe(sink)
    expect(Buffer.concat(taken).equals(BODY.subarray(0, 200_000))).toBe(true)
  })

  test('that is kept waiting does not count as stalled, and one that sends nothing does', async () => {
    const slow = await open(await serverThat({ bytes: 500_000, total: 500_000, afterMs: 5_000, how: 'end' }), 500)
    await sleep(1_000)
    await slow.pipe({ write: () => true, onDrain: () => undefined })
    const silent = await open(await serverThat({ bytes: 100, total: 500_000, afterMs: 5_000, how: 'end' }), 500)
    const taken = silent.pipe({ write: () => true, onDrain: () => undefined })
    await expect(taken).rejects.toMatchObject({ code: 'STALLED' })
  })
})

function open(url: string, stallMs = 3_000): Promise<Reply> {
  const options = { allowPrivate: true, connectTimeoutMs: 10_000, stallMs }
  return exchange(new URL(url), {}, options, new AbortController().signal)
}
