import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Fleet } from '@taskfleet/core'
import { downloadDefinition } from '@taskfleet/downloads'
import { type FileServer, startFileServer } from '@taskfleet/downloads/file-server'
import { useDatabase } from '@taskfleet/testkit/use-database'
import { defineTask, TaskRunner } from '@taskfleet/worker'
import type { Browser, Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { z } from 'zod'
import { violationsOn } from './axe.ts'
import { launchBrowser } from './browser.ts'

const WAIT = { timeout: 120_000 }
const WIDTHS = [360, 768, 1024, 1280, 1920]
const STEPS = 4_000

const input = z.object({ customer: z.string(), file: z.string() })
/** Reports twice a second until it is stopped. */
const encode = defineTask({
  name: 'encode',
  input,
  title: ({ file }) => `Encode ${file}`,
  labels: ({ customer }) => ({ customer }),
  async run({ progress, log, signal }) {
    log.info('begun')
    for (let done = 0; done < STEPS; done += 1) {
      if (done % 20 === 0) log.info(`frame ${done}`)
      progress({ done, total: STEPS, unit: 'frames', message: 'encoding' })
      await sleep(500, undefined, { signal })
    }
  },
})
const mail = defineTask({
  name: 'send-email',
  input,
  title: ({ customer }) => `Mail to ${customer}`,
  labels: ({ customer }) => ({ customer }),
  retry: { maxAttempts: 1 },
  run: ({ input: { file } }) => {
    if (file.includes('7')) throw new Error('550 mailbox unavailable')
    return { sent: true, file }
  },
})

describe('every page, at every width', { timeout: 600_000 }, () => {
  const own = useDatabase()
  const runners: TaskRunner[] = []
  const paths = new Map<string, string>()
  let browser: Browser
  let page: Page
  let fleet: Fleet
  let files: FileServer
  let folder: string
  const complaints: string[] = []

  beforeAll(async () => {
    files = await startFileServer({ files: { 'large.iso': { size: '1GB' }, 'other.iso': { size: '1GB' } } })
    folder = await mkdtemp(join(tmpdir(), 'taskfleet-pages-'))
    const download = defineTask(downloadDefinition({ root: folder, allowPrivate: true }))
    for (const name of ['encode-fra-01', 'encode-fra-02', 'encode-nyc-01']) {
      const listen = { host: '127.0.0.1', port: 0 }
      const runner = new TaskRunner({ mongo: own.uri, tasks: [encode, mail, download], concurrency: 8, name, listen })
      runners.push(runner)
      await runner.start()
    }
    fleet = await Fleet.connect(own.uri)
    const { tasks, schedules, events, callbacks, bulk, queues } = fleet.as()
    const inputs = (count: number) =>
      Array.from({ length: count }, (_, at) => ({
        input: { customer: `cus_${1_000 + (at % 5)}`, file: `part-${at}.mkv` },
      }))
    const mails = await fleet.enqueueMany(mail, inputs(60))
    await Promise.all(mails.map(({ _id }) => fleet.result(_id)))
    const later = await fleet.enqueueMany(
      mail,
      inputs(120).map((entry) => ({ ...entry, runAt: new Date(Date.now() + 3_600_000) })),
    )
    const [running] = await fleet.enqueueMany(encode, inputs(15))
    // So slow that there are several connections, and that none ends before the tests.
    const slow = (file: string, ms = 0) => ({
      input: { url: `${files.url}/${file}?connectionRate=200KB` },
      runAt: new Date(Date.now() + ms),
    })
    const [fetched] = await fleet.enqueueMany(download, [
      slow('large.iso'),
      slow('other.iso'),
      slow('large.iso', 3_600_000),
      slow('missing.iso'),
    ])
    await tasks.enqueue({ name: 'no-such-handler', input: {} })
    const request = { input: { customer: 'cus_1000', file: 'nightly.mkv' }, overlap: 'skip' as const }
    await schedules.create({ _id: 'nightly-import', task: 'send-email', cron: '30 1 * * *', ...request })
    await schedules.create({ _id: 'every-quarter-of-an-hour', task: 'send-email', every: '15m', ...request })
    await callbacks.create({ event: 'file.arrived', task: 'send-email', defaults: { queue: 'default' } })
    await events.post({ name: 'file.arrived', props: { customer: 'cus_1001', file: 'arrived.mkv' } })
    await queues.limit({ name: 'default', limits: { concurrency: 20 } })
    const operation = await bulk.start({
      command: 'pause',
      ids: later.map(({ _id }) => _id.toHexString()),
      reason: 'The mail server is moved',
    })
    const ended = async () => expect((await bulk.show({ id: operation._id })).endedAt).toBeDefined()
    await vi.waitFor(ended, { ...WAIT, interval: 100 })
    const failed = await fleet.tasks.findOne({ status: 'failed', name: 'send-email' })
    const [group] = await fleet.as().errors.list({})
    const entries: Record<string, string> = {
      now: '/',
      tasks: '/tasks',
      drawer: `/tasks?open=${running!._id.toHexString()}`,
      task: `/tasks/${running!._id.toHexString()}`,
      'failed task': `/tasks/${failed!._id.toHexString()}`,
      errors: '/errors',
      error: `/errors/${group!._id}`,
      handlers: '/handlers',
      downloads: `/downloads?open=${fetched!._id.toHexString()}`,
      queues: '/queues',
      queue: '/queues/default',
      hosts: '/hosts',
      host: '/hosts/encode-fra-01',
      events: '/events',
      schedules: '/schedules',
      history: '/history',
      operations: '/operations',
      operation: `/operations/${operation._id}`,
      settings: '/settings',
    }
    for (const [name, path] of Object.entries(entries)) paths.set(name, path)
    browser = await launchBrowser()
    const context = await browser.newContext({ viewport: { width: 1440, height: 900 }, reducedMotion: 'reduce' })
    page = await context.newPage()
    page.on('console', (message) => {
      if (message.type() === 'error') complaints.push(message.text())
    })
    page.on('pageerror', (error) => complaints.push(error.message))
  }, 400_000)

  afterAll(async () => {
    await browser?.close()
    await Promise.all(runners.map((runner) => runner.stop({ grace: 0 })))
    await fleet?.close()
    await files?.stop()
    await rm(folder, { recursive: true, force: true })
  })

  /** Resolves when the page has its rows and nothing is loading. */
  async function open(name: string): Promise<void> {
    await page.goto(`${runners[0]!.url}${paths.get(name)!}`, WAIT)
    await page.locator('[data-testid=connection][data-state=live]').first().waitFor(WAIT)
    await page
      .locator('main h1')
      .first()
      .waitFor({ ...WAIT, state: 'attached' })
    // Rows and charts come after the page; it is complete when nothing was added between two looks.
    await page.waitForFunction(
      () => {
        const seen = window as unknown as { parts?: number }
        const [before, now] = [seen.parts, document.querySelectorAll('main *').length]
        seen.parts = now
        return before === now && document.querySelector('main [aria-busy=true]') === null
      },
      undefined,
      { ...WAIT, polling: 500 },
    )
  }

  async function shot(name: string, look: string): Promise<void> {
    const folder = process.env.TASKFLEET_SCREENSHOTS
    if (folder === undefined) return
    await mkdir(folder, { recursive: true })
    await page.screenshot({ path: `${folder}/${name.replace(' ', '-')}-${look}.png`, ...WAIT })
  }

  const NAMES = [
    ...[
      'now',
      'tasks',
      'drawer',
      'task',
      'failed task',
      'errors',
      'error',
      'handlers',
      'downloads',
      'queues',
      'queue',
      'hosts',
    ],
    ...['host', 'events', 'schedules', 'history', 'operations', 'operation', 'settings'],
  ]
  test.each(NAMES)('%s: nothing is cut, every action can be reached, and axe finds nothing', async (name) => {
    const found: string[] = []
    for (const width of WIDTHS) {
      await page.setViewportSize({ width, height: width < 700 ? 780 : 900 })
      await page.emulateMedia({ colorScheme: 'light' })
      await open(name)
      found.push(...(await unreachable(page)).map((one) => `${width} px: ${one}`))
      if (width === 360) await shot(name, 'phone')
    }
    await page.setViewportSize({ width: 1440, height: 900 })
    for (const colorScheme of ['light', 'dark'] as const) {
      await page.emulateMedia({ colorScheme })
      // The charts are drawn again with the next frame.
      await page.evaluate(() => new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn))))
      await shot(name, colorScheme)
      found.push(
        ...(await violationsOn(page)).flatMap(({ id, nodes }) =>
          nodes.map(({ target }) => `${colorScheme}: axe ${id} at ${target}`),
        ),
      )
    }
    expect(found).toEqual([])
  })

  test('a list of addresses is checked, queued and downloaded, each with a bar that moves', async () => {
    await page.setViewportSize({ width: 1440, height: 900 })
    await open('downloads')
    const list = page.getByRole('textbox', { name: 'Add downloads' })
    const address = `${files.url}/other.iso?connectionRate=100KB`
    await list.fill(`${address}\nwww.files.example`)
    await page.getByTestId('bad-line').filter({ hasText: 'Line 2' }).waitFor(WAIT)
    await list.fill(`${address}\n  out=added.iso`)
    await page.getByRole('button', { name: 'Add download' }).click(WAIT)
    const row = page.getByTestId('running-download').filter({ hasText: 'added.iso' })
    await row.locator('[data-source=live]').waitFor(WAIT)
    const bytes = row.getByTestId('task-bytes')
    const before = await bytes.textContent()
    await expect.poll(() => bytes.textContent(), WAIT).not.toBe(before)
    await row.getByRole('button', { name: /^Segments/ }).click(WAIT)
    await expect.poll(() => row.getByTestId('segments').getAttribute('data-spans'), WAIT).toMatch(/^[1-9]/)
  })

  test('nothing complained in the console', () => {
    expect(complaints).toEqual([])
  })
})

/** What a user can't bring into view: parts that the page is too narrow for, and controls that are cut by something that can't be scrolled. */
function unreachable(page: Page): Promise<string[]> {
  return page.evaluate(() => {
    const found: string[] = []
    const root = document.scrollingElement!
    if (root.scrollWidth > innerWidth + 1) found.push(`the page is ${root.scrollWidth} px wide`)
    const controls = document.querySelectorAll<HTMLElement>('button, a[href], input, select, textarea, summary')
    for (const one of controls) {
      const { left, right, top, bottom, width, height } = one.getBoundingClientRect()
      // Only for screen readers, or not shown.
      const isHidden = (part: Element | null): boolean =>
        part !== null && (part.clientWidth === 1 || isHidden(part.parentElement))
      if (width < 3 || height < 3 || isHidden(one.parentElement) || !one.checkVisibility({ visibilityProperty: true }))
        continue
      let [canX, canY] = [false, false]
      let cut = false
      for (let over = one.parentElement; over !== null && over !== document.documentElement; ) {
        const { overflowX, overflowY, position } = getComputedStyle(over)
        canX ||= /auto|scroll/.test(overflowX) && over.scrollWidth > over.clientWidth
        canY ||= /auto|scroll/.test(overflowY) && over.scrollHeight > over.clientHeight
        const edge = over.getBoundingClientRect()
        const isCutX = overflowX !== 'visible' && (left < edge.left - 3 || right > edge.right + 3)
        const isCutY = overflowY !== 'visible' && (bottom < edge.top + 3 || top > edge.bottom - 3)
        cut ||= (isCutX && !canX) || (isCutY && !canY)
        over = position === 'fixed' ? null : over.parentElement
      }
      if (cut || ((left < -1 || right > innerWidth + 1) && !canX)) {
        const text = (one.getAttribute('aria-label') ?? one.textContent ?? '').trim().slice(0, 40)
        found.push(`<${one.localName}> “${text}” at ${Math.round(left)} to ${Math.round(right)}, ${Math.round(top)}`)
      }
    }
    return found
  })
}
