import { createHmac } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { LOCAL } from '@taskfleet/core'
import type { AttentionWatch } from '@taskfleet/core/internal'
import type { AttentionRow } from '@taskfleet/protocol'
import { startGateway } from '@taskfleet/testkit/fleet/test-sockets'
import { eventually, useFleet } from '@taskfleet/testkit/fleet/use-fleet'
import { pino } from 'pino'
import { beforeEach, describe, expect, test } from 'vitest'
import { AttentionNotices, type AttentionNoticesOptions, checkWebhook } from './attention-webhook.ts'

const fleet = useFleet()

interface Posted {
  body: { event: string; at: string; fleet: string; gateway: string; row: AttentionRow }
  text: string
  headers: Record<string, unknown>
}

/** A receiver that answers with these statuses, and then with 204. */
async function receiver(...statuses: number[]): Promise<{ url: string; posted: Posted[] }> {
  const posted: Posted[] = []
  const server = createServer(async (request, response) => {
    let text = ''
    for await (const chunk of request) text += chunk
    posted.push({ body: JSON.parse(text), text, headers: request.headers })
    response.writeHead(statuses.shift() ?? 204).end()
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  fleet.cleanup(() => {
    server.closeAllConnections()
    server.close()
  })
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook`, posted }
}

const row = (over: Partial<AttentionRow> = {}): AttentionRow => ({
  ...{ _id: 'missed:nightly', kind: 'missed', urgency: 'now', subject: 'nightly', message: 'it is late' },
  ...over,
})

/** What all notices of a test see. */
let seen: { rows: AttentionRow[]; error?: { code: string; message: string } }
/** How often they have looked. */
let looks = 0
const stored = () => fleet.database.db.collection<{ _id: string }>('attentionNotices')
beforeEach(async () => {
  seen = { rows: [] }
  await stored().deleteMany({})
})

async function start(urls: string[], over: Partial<AttentionNoticesOptions> = {}): Promise<AttentionNotices> {
  const live = {
    get attention() {
      looks += 1
      return { seq: 1, ...seen }
    },
  }
  const notices = new AttentionNotices({
    webhook: { urls },
    database: fleet.database,
    queries: { watchAttention: async () => ({ live, close: () => undefined }) as unknown as AttentionWatch },
    source: { list: async () => [], read: async () => [] },
    gateway: 'http://gateway.example',
    log: pino({ level: 'silent' }),
    ...{ lastsMs: 60, everyMs: 15, retryMs: 20 },
    ...over,
  })
  fleet.cleanup(() => notices.stop())
  await notices.start()
  return notices
}

const events = (posted: Posted[]) => posted.map(({ body }) => body.event)

describe('the webhook for what needs somebody', () => {
  test('gets the begin and the end of what is urgent, once from all gateways together', async () => {
    const { url, posted } = await receiver()
    for (let gateway = 0; gateway < 3; gateway += 1) await start([url])
    seen.rows = [row(), row({ _id: 'weak:secret', urgency: 'soon' })]
    await eventually(() => posted.length > 0)
    const { event, at, ...rest } = posted[0]!.body
    expect([event, Number.isNaN(Date.parse(at))]).toEqual(['began', false])
    expect(rest).toEqual({ fleet: fleet.database.name, gateway: 'http://gateway.example', row: row() })
    await eventually(async () => (await stored().countDocuments({ sent: true } as never)) === 1)
    seen.rows = []
    await eventually(() => posted.length > 1)
    await eventually(async () => (await stored().countDocuments({})) === 0)
    // It is new again.
    seen.rows = [row()]
    await eventually(() => posted.length > 2)
    expect(events(posted)).toEqual(['began', 'ended', 'began'])
  })

  test('gets nothing of what lasts a moment only, nor an end while the rows can not be read', async () => {
    const { url, posted } = await receiver()
    await start([url])
    const until = looks + 20
    seen = {
      get rows() {
        return looks % 2 === 0 ? [row()] : []
      },
    }
    await eventually(() => looks >= until)
    expect(posted).toEqual([])
    seen = { rows: [row()] }
    await eventually(async () => (await stored().countDocuments({ sent: true } as never)) === 1)
    seen = { rows: [], error: { code: 'QUERY_TOO_SLOW', message: 'too slow' } }
    const later = looks + 20
    await eventually(() => looks >= later)
    expect(events(posted)).toEqual(['began'])
  })

  test('is tried again while the receiver is away, each address by itself, and is signed', async () => {
    const [away, well] = [await receiver(503, 500, 429), await receiver()]
    const { host } = new URL(away.url)
    await start([`http://user:p%40ss@${host}/hook`, well.url], {
      webhook: { urls: [`http://user:p%40ss@${host}/hook`, well.url], secret: 'shared' },
    })
    seen.rows = [row()]
    await eventually(async () => (await stored().countDocuments({ sent: true } as never)) === 1)
    expect([away.posted.length, well.posted.length]).toEqual([4, 1])
    const { headers, text } = away.posted[0]!
    const [, seconds, signature] = /^t=(\d+),v1=(\w+)$/.exec(String(headers['taskfleet-signature'])) ?? []
    expect(signature).toBe(createHmac('sha256', 'shared').update(`${seconds}.${text}`).digest('hex'))
    expect(headers.authorization).toBe(`Basic ${Buffer.from('user:p@ss').toString('base64')}`)
  })

  test('is given up after an answer that will not change, and logged without the path and the password', async () => {
    const { url, posted } = await receiver(404)
    const lines: string[] = []
    const log = pino({ level: 'warn' }, { write: (line: string) => void lines.push(line) })
    const secret = url.replace('http://', 'http://user:topsecret@').replace('/hook', '/T0/s3cret')
    await start([secret], { log })
    seen.rows = [row()]
    await eventually(async () => (await stored().countDocuments({ sent: true } as never)) === 1)
    expect(posted).toHaveLength(1)
    expect(lines.join('')).toMatch(/127\.0\.0\.1:\d+ answered 404/)
    expect(lines.join('')).not.toMatch(/s3cret|topsecret/)
  })

  test('is sent by another gateway if the one that was about to send it is gone', async () => {
    const { url, posted } = await receiver()
    const past = new Date(Date.now() - 60_000)
    const notice = { _id: row()._id, event: 'began', at: past, row: row(), sent: false, heldUntil: past }
    await stored().insertOne({ ...notice, expireAt: new Date(Date.now() + 60_000) } as never)
    seen.rows = [row()]
    await start([url])
    await eventually(() => posted.length === 1)
    expect(posted[0]!.body).toMatchObject({ event: 'began', at: past.toISOString() })
  })

  test('a gateway that stops while the receiver is away leaves the notice to another one', async () => {
    const [away, well] = [await receiver(...Array.from({ length: 50 }, () => 503)), await receiver()]
    const first = await start([away.url], { retryMs: 30_000 })
    seen.rows = [row()]
    await eventually(() => away.posted.length === 1)
    await first.stop()
    await start([well.url])
    await eventually(() => well.posted.length === 1)
    expect(events(well.posted)).toEqual(['began'])
  })

  test('takes http and https addresses only', () => {
    expect(() => checkWebhook({ urls: ['https://a.example/x', 'http://b.example'] })).not.toThrow()
    for (const url of ['ftp://a.example', 'file:///etc/passwd', 'a.example', 'https://']) {
      expect(() => checkWebhook({ urls: [url] })).toThrow(expect.objectContaining({ code: 'BAD_REQUEST' }))
    }
  })
})

test('a gateway with a webhook starts and stops as one without, and reads what needs somebody', async () => {
  const { url } = await receiver()
  const gateway = await startGateway(fleet, { attentionWebhook: { urls: [url] } })
  await eventually(() => gateway.load.views === 1)
  expect(await fleet.fleet.as(LOCAL).attention.list()).toEqual(expect.any(Array))
  await gateway.stop()
})
