import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { KeyStore } from '@taskfleet/core'
import { useDatabase } from '@taskfleet/testkit/use-database'
import type { Browser, Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { launchBrowser } from './browser.ts'

const WAIT = { timeout: 60_000 }
const CLI = fileURLToPath(new URL('../../../../packages/cli/dist/main.js', import.meta.url))

/** A gateway as a process of its own; resolves when it says where it listens. */
async function startGateway(mongo: string, port: string): Promise<{ child: ChildProcess; url: string }> {
  const args = [CLI, 'gateway', '--mongo', mongo, '--listen', `127.0.0.1:${port}`]
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] })
  const lines: string[] = []
  const url = await new Promise<string>((resolve, reject) => {
    const note = (line: string): void => {
      lines.push(line)
      const found = /http:\/\/127\.0\.0\.1:\d+/.exec(line)
      if (found !== null) resolve(found[0])
    }
    createInterface({ input: child.stdout }).on('line', note)
    createInterface({ input: child.stderr }).on('line', note)
    child.once('close', () => reject(new Error(`the gateway ended:\n${lines.join('\n')}`)))
  })
  return { child, url }
}

async function stop(child: ChildProcess | undefined): Promise<void> {
  if (child === undefined || child.exitCode !== null) return
  child.kill('SIGTERM')
  await once(child, 'close')
}

describe('the monitor in a real browser, with and without a key', () => {
  const own = useDatabase()
  const keys = (): KeyStore => new KeyStore(own.database.db)
  let gateway: { child: ChildProcess; url: string }
  let browser: Browser
  let page: Page
  let made: { id: string; token: string }
  /** What the page said when it connected, and what it showed to which address. */
  const handshakes: string[] = []
  const shown: string[] = []

  beforeAll(async () => {
    gateway = await startGateway(own.uri, '0')
    browser = await launchBrowser()
    page = await browser.newPage({ viewport: { width: 1280, height: 800 } })
    const note = (packets: string): void => {
      handshakes.push(...packets.split('\x1e').filter((packet) => packet.startsWith('40')))
    }
    page.on('websocket', (socket) => {
      socket.on('framesent', ({ payload }) => note(String(payload)))
    })
    page.on('request', (request) => {
      // A gateway that comes back between two ways to reach it is reached by the second one.
      if (request.url().includes('/socket.io/')) note(request.postData() ?? '')
      const { authorization } = request.headers()
      if (authorization !== undefined) shown.push(`${new URL(request.url()).pathname} ${authorization}`)
    })
  }, 120_000)

  afterAll(async () => {
    await browser?.close()
    await stop(gateway?.child)
  })

  const live = () => page.locator('[data-testid=connection][data-state=live]').first().waitFor(WAIT)
  const kept = () => page.evaluate(() => [sessionStorage.length, localStorage.length])

  test('loads at most 150 kB for its first page', async () => {
    const context = await browser.newContext()
    const first = await context.newPage()
    const sizes = new Map<string, Promise<number>>()
    first.on('requestfinished', (request) => {
      sizes.set(
        request.url(),
        // What comes later may still be on its way when the page is closed.
        request.sizes().then(
          ({ responseBodySize }) => responseBodySize,
          () => 0,
        ),
      )
    })
    const html = await (await first.goto(gateway.url))!.text()
    await first.locator('[data-testid=connection][data-state=live]').first().waitFor(WAIT)
    // The other pages follow when the first one is there.
    const parts = [...html.matchAll(/ (?:src|href)="([^"]+)"/g)].map(([, part]) => new URL(part!, gateway.url).href)
    const urls = new Set([`${gateway.url}/`, ...parts])
    const loaded = await Promise.all([...urls].map((url) => sizes.get(url) ?? 0))
    expect(loaded.filter((bytes) => bytes > 0).length).toBeGreaterThan(5)
    expect(loaded.reduce((sum, bytes) => sum + bytes, 0)).toBeLessThan(150_000)
    await context.close()
  })

  test('needs none in a fleet without keys, makes the first one, and goes on with it in the fleet that is locked now', async () => {
    const context = await browser.newContext()
    const local = await context.newPage()
    await local.goto(`${gateway.url}/keys`)
    await local.getByText('There is no key yet').waitFor(WAIT)
    await local.getByRole('button', { name: 'Make a key' }).click(WAIT)
    const form = local.getByRole('dialog')
    await form.getByText('The first key locks the fleet').waitFor(WAIT)
    await form.getByLabel('Name', { exact: true }).fill('boss')
    await form.getByRole('button', { name: 'Make the key' }).click(WAIT)
    await local.locator('[data-testid=key-row]', { hasText: 'this page' }).waitFor(WAIT)
    expect(await local.getByTestId('made-key').textContent()).toMatch(/tf_[0-9a-f]{12}_/)
    await local.locator('[data-testid=connection][data-state=live]').first().waitFor(WAIT)
    const stranger = await fetch(`${gateway.url}/api/v1/keys`)
    expect(stranger.status).toBe(401)
    await context.close()
  })

  test('works on a session: the key goes into none of its handshakes, and is kept for the tab alone', async () => {
    made = await keys().create({ name: 'visitor', scopes: ['read', 'admin'] })
    await page.goto(`${gateway.url}/#token=${made.token}`)
    await live()
    expect(page.url()).not.toContain('token')
    await page.getByRole('link', { name: 'Settings' }).click(WAIT)
    await page.locator(`[data-testid=key-row][data-key="${made.id}"][data-state=good]`).waitFor(WAIT)
    expect(handshakes.length).toBeGreaterThan(0)
    for (const handshake of handshakes) expect(handshake).toMatch(/^40\{"token":"ey[\w.-]+"(,"parts":true)?\}$/)
    expect(shown.filter((one) => one.includes('tf_')).map((one) => one.split(' ')[0])).toEqual(
      shown.filter((one) => one.startsWith('/api/v1/sessions ')).map(() => '/api/v1/sessions'),
    )
    expect(await kept()).toEqual([1, 0])
  })

  test('goes on by itself when its gateway has been restarted, and when it is loaded again', async () => {
    const before = handshakes.length
    await stop(gateway.child)
    await page.locator('[data-testid=connection][data-state=reconnecting]').first().waitFor(WAIT)
    gateway = await startGateway(own.uri, new URL(gateway.url).port)
    await live()
    expect(handshakes.length).toBeGreaterThan(before)
    await page.reload()
    await live()
    await page.locator('[data-testid=key-row]').first().waitFor(WAIT)
  })

  test('goes on with another gateway when its own is gone for good, with sessions made there', async () => {
    const other = await startGateway(own.uri, '0')
    // A gateway names the others to each client that connects.
    await page.reload()
    await live()
    const moved = `${new URL(other.url).host}/socket.io/`
    // The page may have moved before the process has ended.
    const opened = page.waitForEvent('websocket', { predicate: (socket) => socket.url().includes(moved), ...WAIT })
    await stop(gateway.child)
    gateway = other
    await opened
    await live()
    await page.locator(`[data-testid=key-row][data-key="${made.id}"][data-state=good]`).waitFor(WAIT)
    for (const handshake of handshakes) expect(handshake).toMatch(/^40\{"token":"ey[\w.-]+"(,"parts":true)?\}$/)
  })

  test('ends when its key is revoked from elsewhere: with the form, a clear word, and nothing kept', async () => {
    await keys().revoke(made.id)
    const alert = page.getByRole('main').getByRole('alert')
    await alert.waitFor(WAIT)
    expect(await alert.textContent()).toBe('The key of this page is no longer valid. It was revoked or has expired.')
    await page.getByLabel('Key').waitFor(WAIT)
    expect(await page.locator('[data-testid=key-row]').count()).toBe(0)
    expect(await kept()).toEqual([0, 0])
  })
}, 300_000)
