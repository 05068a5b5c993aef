import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { type IncomingHttpHeaders, request } from 'node:http'
import { brotliDecompressSync, gunzipSync } from 'node:zlib'
import { startGateway } from '@taskfleet/testkit/fleet/test-sockets'
import { useFleet } from '@taskfleet/testkit/fleet/use-fleet'
import { beforeEach, describe, expect, test } from 'vitest'

interface Got {
  status: number
  headers: IncomingHttpHeaders
  body: Buffer
}

describe("the monitor's files", () => {
  const fleet = useFleet()
  let url: string
  let script: string

  /** As it travels: `fetch` would unpack it. */
  async function get(path: string, headers: Record<string, string> = {}): Promise<Got> {
    const asked = request(`${url}${path}`, { headers }).end()
    const [answer] = await once(asked, 'response')
    const chunks: Buffer[] = []
    for await (const chunk of answer) chunks.push(chunk as Buffer)
    return { status: answer.statusCode, headers: answer.headers, body: Buffer.concat(chunks) }
  }

  const digest = (body: Buffer): string => createHash('sha256').update(body).digest('hex')

  beforeEach(async () => {
    url = (await startGateway(fleet)).url!
    const { body } = await get('/')
    // The one with the page's code, which is large enough to be worth packing.
    script = /href="\.(\/assets\/first-[^"]+\.js)"/.exec(body.toString())![1]!
  })

  test('a script is sent compressed as the browser accepts it, brotli first, and is the same in every form', async () => {
    const plain = await get(script)
    const brotli = await get(script, { 'accept-encoding': 'gzip, deflate, br' })
    const gzip = await get(script, { 'accept-encoding': 'gzip' })
    const forms = [plain, brotli, gzip]
    expect(forms.map(({ headers }) => headers['content-encoding'])).toEqual([undefined, 'br', 'gzip'])
    for (const { status, headers } of forms) {
      expect(status).toBe(200)
      expect(headers['content-type']).toMatch(/javascript/)
      expect(headers.vary).toMatch(/accept-encoding/i)
    }
    expect(digest(brotliDecompressSync(brotli.body))).toBe(digest(plain.body))
    expect(digest(gunzipSync(gzip.body))).toBe(digest(plain.body))
    expect(brotli.body.length).toBeLessThan(plain.body.length / 3)
  })

  test('a file with its digest in its name is cached for good, and the page itself is requested again', async () => {
    const packed = { 'accept-encoding': 'br' }
    expect((await get(script, packed)).headers['cache-control']).toBe('public, max-age=31536000, immutable')
    expect((await get(script)).headers['cache-control']).toBe('public, max-age=31536000, immutable')
    for (const path of ['/', '/theme.js']) {
      const { status, headers, body } = await get(path, packed)
      expect([status, headers['cache-control']], body.toString()).toEqual([200, 'no-cache'])
      const again = await get(path, { ...packed, 'if-none-match': headers.etag! })
      expect([again.status, again.body.length]).toEqual([304, 0])
    }
    const page = await get('/tasks?status=failed', { ...packed, accept: 'text/html' })
    expect([page.status, page.headers['cache-control']]).toEqual([200, 'no-cache'])
    expect(page.headers['content-security-policy']).toContain("script-src 'self'")
  })
})
