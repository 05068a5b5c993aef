import { mkdir } from 'node:fs/promises'
import { type FileServer, startFileServer } from '@taskfleet/downloads/file-server'
import { mongoUri } from '@taskfleet/testkit/mongo-uri'
import type { Browser, Locator, Page } from 'playwright-core'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { violationsOn } from './axe.ts'
import { launchBrowser } from './browser.ts'
import { type Demo, startDemo } from './demo.ts'

const WAIT = { timeout: 60_000 }

describe('the monitor in a real browser', () => {
  let demo: Demo
  let files: FileServer
  let browser: Browser
  let page: Page
  let address: string
  const complaints: string[] = []

  beforeAll(async () => {
    // Slow enough that there is something to see and to kill, whatever the machine.
    demo = await startDemo(['--scale', '0.6', '--slots', '2', '--no-more'], mongoUri())
    files = await startFileServer({ files: { 'endless.bin': { size: '256MiB' } } })
    address = /http:\S+/.exec(await demo.line(/Monitor: http/))![0]
    browser = await launchBrowser()
    page = await browser.newPage({ viewport: { width: 1440, height: 900 } })
    page.on('console', (message) => {
      if (message.type() === 'error') complaints.push(message.text())
    })
    page.on('pageerror', (error) => complaints.push(error.message))
    await page.goto(address)
  }, 120_000)

  afterAll(async () => {
    await browser?.close()
    await demo?.stop()
    await files?.stop()
  })

  test('takes the key out of the address, connects, and shows a card for each host', async () => {
    await page.locator('[data-testid=connection][data-state=live]').first().waitFor(WAIT)
    for (const name of ['host-a', 'host-b', 'host-c']) {
      await page.locator(`[data-testid=worker-card][data-worker=${name}]`).waitFor(WAIT)
    }
    expect(page.url()).not.toContain('token')
  })

  test('bars move, by the sockets of the hosts that run them', async () => {
    const bar = page.locator('[data-testid=worker-card] [role=progressbar]').first()
    await bar.waitFor(WAIT)
    await page.waitForFunction(
      () => {
        const now = [...document.querySelectorAll('[data-testid=worker-card] [role=progressbar]')].map((one) =>
          Number(one.getAttribute('aria-valuenow')),
        )
        const seen = window as unknown as { firstBars?: number[] }
        seen.firstBars ??= now
        return now.some((value, index) => value > (seen.firstBars?.[index] ?? 0) + 2)
      },
      undefined,
      WAIT,
    )
    const folder = process.env.TASKFLEET_SCREENSHOTS
    if (folder !== undefined) {
      await mkdir(folder, { recursive: true })
      await page.screenshot({ path: `${folder}/monitor.png` })
    }
  })

  test('a killed host is seen silent, and its download goes on elsewhere', async () => {
    await page.goto(new URL('/', address).href)
    const card = page.locator('[data-testid=worker-card]', { hasText: 'carried-over.img' }).first()
    await card.waitFor(WAIT)
    const name = (await card.getAttribute('data-worker'))!
    const pid = Number(/:(\d+)/.exec((await card.textContent())!)![1])
    process.kill(pid, 'SIGKILL')
    await page.locator(`[data-testid=worker-card][data-worker=${name}]:not([data-state=running])`).waitFor(WAIT)
    const line = await demo.line(/carried-over\.img +running on host-\w, attempt 2/)
    expect(line).not.toContain(name)
    await demo.line(/carried-over\.img +completed/)
  })

  test('the list fills with downloads of every fate', async () => {
    await page.goto(new URL('/tasks', address).href)
    await page.locator('[data-testid=task-row]').nth(9).waitFor(WAIT)
    await page.locator('[data-testid=task-row][data-status=failed]').first().waitFor(WAIT)
  })

  test('a download is asked for in the form, runs, and is cancelled from its page', async () => {
    await page.goto(new URL('/', address).href)
    await page.locator('[data-testid=connection][data-state=live]').first().waitFor(WAIT)
    await page.getByRole('button', { name: /new task/i }).click(WAIT)
    const form = page.getByRole('dialog')
    await form.getByLabel('Handler').selectOption({ label: 'download@1' })
    await form.getByLabel(/url/i).first().fill(`${files.url}/endless.bin?rate=100KB`)
    await form.getByLabel('Priority').selectOption('8')
    await form.getByRole('button', { name: 'Enqueue' }).click(WAIT)
    await page.goto(new URL('/tasks?q=endless.bin&in=input.url', address).href)
    const row = page.locator('[data-testid=task-row][data-status=running][data-source=live]').first()
    await row.waitFor(WAIT)
    const id = await row.getAttribute('data-task')
    await page.goto(new URL(`/tasks/${id}`, address).href)
    await page.getByRole('button', { name: 'Cancel' }).first().click(WAIT)
    await page.getByRole('dialog').getByRole('button', { name: 'Stop it' }).click(WAIT)
    await page.getByText('Cancelled').first().waitFor(WAIT)
  })

  test('a task that nobody serves, an event and a schedule are made in their forms', async () => {
    await page.getByRole('button', { name: /new task/i }).click(WAIT)
    const task = page.getByRole('dialog')
    await task.getByLabel('Handler').selectOption({ label: 'Any other task' })
    await task.getByLabel('Name').fill('nobody.serves.it')
    expect(await seriousViolations(page)).toEqual([])
    await task.getByRole('button', { name: 'Enqueue' }).click(WAIT)
    await task.waitFor({ ...WAIT, state: 'detached' })
    await page.goto(new URL('/events', address).href)
    await page.getByRole('button', { name: 'Send an event' }).first().click(WAIT)
    const event = page.getByRole('dialog')
    await event.getByLabel('Name').fill('file.wanted')
    expect(await seriousViolations(page)).toEqual([])
    await event.getByRole('button', { name: 'Send' }).click(WAIT)
    await page.locator('[data-testid=event]').first().waitFor(WAIT)
    await page.goto(new URL('/schedules', address).href)
    await page.getByRole('button', { name: 'New schedule' }).first().click(WAIT)
    const schedule = page.getByRole('dialog')
    await schedule.getByLabel('Name').fill('nightly')
    await schedule.getByLabel('Run this task').fill('nobody.serves.it')
    await schedule.getByRole('textbox', { name: 'Cron' }).fill('0 3 * * *')
    expect(await seriousViolations(page)).toEqual([])
    await schedule.getByRole('button', { name: 'Schedule', exact: true }).click(WAIT)
    await page.locator('[data-testid=schedule]').first().waitFor(WAIT)
  })

  /** Each page by what shows that it is filled. */
  const PAGES = {
    '/': '[data-testid=worker-card]',
    '/tasks': '[data-testid=task-row]',
    '/tasks/…': '[data-testid=attempt-error]',
    '/errors': '[data-testid=error-group]',
    '/handlers': '[data-testid=coverage-row]',
    '/queues': '[data-testid=queue-row]',
    '/events': '[data-testid=event]',
    '/schedules': '[data-testid=schedule]',
    '/settings': 'h1',
    '/history': '[data-testid=audit-row]',
    '/hosts': '[data-testid=host-row]',
  }

  test.each(Object.entries(PAGES))('the page %s is accessible in light and in dark', async (path, filled) => {
    await page.emulateMedia({ reducedMotion: 'reduce' })
    if (path === '/tasks/…') {
      await page.goto(new URL('/tasks?status=failed', address).href)
      const row = page.locator('[data-testid=task-row][data-status=failed]').first()
      await row.waitFor(WAIT)
      await page.goto(new URL(`/tasks/${await row.getAttribute('data-task')}`, address).href)
    } else await page.goto(new URL(path, address).href)
    await page.locator('[data-testid=connection][data-state=live]').first().waitFor(WAIT)
    await page.locator(filled).first().waitFor(WAIT)
    const found: string[] = []
    for (const colorScheme of ['light', 'dark'] as const) {
      await page.emulateMedia({ colorScheme })
      // In dark only colours differ.
      const rules = colorScheme === 'dark' ? ['color-contrast'] : undefined
      found.push(...(await seriousViolations(page, rules)).map((one) => `${colorScheme}: ${one}`))
    }
    expect(found).toEqual([])
  })

  describe('from Now, in few clicks', () => {
    let clicks = 0
    const click = async (what: Locator): Promise<void> => {
      clicks += 1
      await what.click(WAIT)
    }
    /** The name of the link to Errors ends with how many are open, once they are known. */
    const link = (name: string): Locator =>
      page.getByRole('link', { name: new RegExp(`^${name}(\\s*\\d+\\+? open)?$`) }).first()
    /** A host that runs. */
    const card = (at = 0): Locator => page.locator('[data-worker^=host-][data-state=running]').nth(at)

    beforeEach(async () => {
      await page.goto(new URL('/', address).href)
      await page.locator('[data-testid=connection][data-state=live]').first().waitFor(WAIT)
      clicks = 0
    })

    test('why is this stuck: 2', async () => {
      await click(page.locator('[data-testid=waiting-row]', { hasText: 'nobody.serves.it' }).getByRole('link').first())
      await page
        .getByTestId('why')
        .getByText(/No live worker/)
        .first()
        .waitFor(WAIT)
      expect(clicks).toBeLessThanOrEqual(2)
    })

    test('the failures of the last hour with one error, and a replay of exactly those: 4', async () => {
      await click(link('Errors'))
      await click(page.locator('[data-testid=error-group]', { hasText: 'HTTP_404' }).getByRole('link').first())
      await click(page.getByLabel(/^Select all/))
      const replay = page.getByRole('button', { name: /^Replay exactly/ })
      const [count] = /\d+/.exec((await replay.textContent(WAIT))!)!
      await click(replay)
      await page.getByText(new RegExp(`^${count} tasks? replayed`)).waitFor(WAIT)
      expect(clicks).toBeLessThanOrEqual(4)
    })

    test('what ran on a host at a time: 3', async () => {
      await click(card().getByRole('link').first())
      clicks += 1
      await page.getByLabel('Time range').selectOption({ label: 'Between two dates…' }, WAIT)
      const local = (hours: number): string => {
        const at = new Date(Date.now() + hours * 3_600_000)
        return new Date(at.getTime() - at.getTimezoneOffset() * 60_000).toISOString().slice(0, 16)
      }
      await page.getByLabel('From', { exact: true }).fill(local(-2), WAIT)
      await page.getByLabel('To', { exact: true }).fill(local(1), WAIT)
      await click(page.getByRole('button', { name: 'Show this range' }))
      await page
        .getByTestId('ended-here')
        .getByText(/[1-9]\d* ended in this range/)
        .waitFor(WAIT)
      expect(new URL(page.url()).searchParams.get('range')).toMatch(/Z\/2/)
      expect(clicks).toBeLessThanOrEqual(3)
    })

    test('who cancelled it: 2', async () => {
      await click(page.locator('[data-testid=ended-row][data-status=cancelled]').getByRole('link').first())
      const done = page.getByRole('region', { name: 'Timeline' })
      await done.scrollIntoViewIfNeeded(WAIT)
      await done
        .getByTestId('audit-entry')
        .filter({ hasText: /cancel/i })
        .first()
        .waitFor(WAIT)
      expect(clicks).toBeLessThanOrEqual(2)
    })

    test('drain two hosts until they are empty: 3', async () => {
      const drains = page.getByRole('button', { name: /^Drain host-/ })
      const resumes = page.getByRole('button', { name: /^Resume host-/ })
      await drains.nth(1).waitFor(WAIT)
      for (let drained = 1; drained <= 2; drained += 1) {
        await click(drains.first())
        await resumes.nth(drained - 1).waitFor(WAIT)
      }
      expect(clicks).toBeLessThanOrEqual(3)
      for (let drained = 2; drained >= 1; drained -= 1) {
        await resumes.first().click(WAIT)
        await resumes.nth(drained - 1).waitFor({ ...WAIT, state: 'detached' })
      }
    })

    test('find a task by a value in its input: 1', async () => {
      await click(page.getByRole('button', { name: 'Search' }))
      await page.getByPlaceholder(/A page, a task/).fill('input.url:~endless.bin', WAIT)
      await page.getByRole('option', { name: /Tasks with/ }).waitFor(WAIT)
      await page.keyboard.press('Enter')
      await page.locator('[data-testid=task-row]', { hasText: 'endless.bin' }).first().waitFor(WAIT)
      expect(clicks).toBeLessThanOrEqual(1)
    })

    test('compare hosts: 1', async () => {
      await click(link('Hosts'))
      await page.locator('[data-testid=host-row]').nth(2).waitFor(WAIT)
      expect(clicks).toBeLessThanOrEqual(1)
    })

    test('the address is the view: filters, range and order', async () => {
      await page.goto(new URL('/tasks?status=failed&range=24h', address).href)
      const rows = page.locator('[data-testid=task-row]')
      await rows.nth(1).waitFor(WAIT)
      const newest = await rows.first().getAttribute('data-task')
      await page.getByLabel('Sort').selectOption('createdAt', WAIT)
      await page.waitForURL(/sort=createdAt/, WAIT)
      // The rows of before stay until those of the new order are there.
      await expect.poll(() => rows.first().getAttribute('data-task'), WAIT).not.toBe(newest)
      const shown = await rows.first().getAttribute('data-task')
      const sent = page.url()
      await click(link('Now'))
      await page.goto(sent)
      await rows.first().waitFor(WAIT)
      expect(await rows.first().getAttribute('data-task')).toBe(shown)
      expect(await page.getByLabel('Time range').inputValue()).toBe('24h')
    })

    test('lower the limit of a queue, and see it: 3', async () => {
      await click(link('Queues'))
      const set = async (limit: string): Promise<void> => {
        await click(page.getByRole('button', { name: 'Limits of default' }))
        const form = page.getByRole('dialog')
        await form.getByLabel('Running at once').fill(limit, WAIT)
        await click(form.getByRole('button', { name: 'Save' }))
        await form.waitFor({ ...WAIT, state: 'detached' })
      }
      await set('5')
      await page.locator('[data-testid=queue-row][data-queue=default]', { hasText: /at most 5/i }).waitFor(WAIT)
      expect(clicks).toBeLessThanOrEqual(3)
      await set('')
    })
  })

  test('nothing complained in the console', () => {
    // What a killed host's sockets do to a browser is not the page's fault.
    expect(complaints.filter((text) => !/WebSocket connection|net::ERR_/.test(text))).toEqual([])
  })
}, 300_000)

/** What axe finds that keeps somebody from using the page, with the places. */
async function seriousViolations(page: Page, rules?: string[]): Promise<string[]> {
  return (await violationsOn(page, rules))
    .filter(({ impact }) => impact === 'serious' || impact === 'critical')
    .flatMap(({ id, nodes }) => nodes.map(({ target, summary }) => `${id} at ${target}: ${summary}`))
}
