import { mkdir } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import chromium from '@sparticuz/chromium'
import { Fleet } from '@taskfleet/core'
import { useDatabase } from '@taskfleet/core/testing'
import { defineTask, TaskRunner } from '@taskfleet/worker'
import { type Browser, type Page, chromium as playwright } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { z } from 'zod'

const WAIT = { timeout: 120_000 }
const EACH = 20
const STEPS = 10_000

/** Reports twice a second until it is stopped. */
const kind = (name: string, unit: string) =>
  defineTask({
    name,
    input: z.object({ file: z.string() }),
    async run({ progress, log, signal }) {
      log.info('begun')
      for (let done = 0; done < STEPS; done += 1) {
        progress({ done, total: STEPS, unit })
        await sleep(500, undefined, { signal })
      }
    },
  })

describe('a page with sixty running tasks of several kinds', { timeout: 400_000 }, () => {
  const own = useDatabase()
  const kinds = [kind('encode', 'frames'), kind('import', 'rows'), kind('report', 'pages')]
  const runners: TaskRunner[] = []
  let browser: Browser
  let page: Page
  let fleet: Fleet
  const complaints: string[] = []

  beforeAll(async () => {
    for (const name of ['host-a', 'host-b', 'host-c']) {
      const runner = new TaskRunner({
        mongo: own.uri,
        tasks: kinds,
        concurrency: EACH,
        name,
        listen: { host: '127.0.0.1', port: 0 },
      })
      await runner.start()
      runners.push(runner)
    }
    fleet = await Fleet.connect(own.uri)
    for (let at = 0; at < 3 * EACH; at += 1) {
      await fleet.enqueue(kinds[at % kinds.length]!, { file: `file-${at}.bin` })
    }
    const args = chromium.args.filter((arg) => arg !== '--single-process')
    browser = await playwright.launch({ executablePath: await chromium.executablePath(), args, headless: true })
    page = await browser.newPage({ viewport: { width: 1440, height: 1000 } })
    page.on('console', (message) => {
      if (message.type() === 'error') complaints.push(message.text())
    })
    page.on('pageerror', (error) => complaints.push(error.message))
  }, 120_000)

  afterAll(async () => {
    await browser?.close()
    await Promise.all(runners.map((runner) => runner.stop({ grace: 0 })))
    await fleet?.close()
  })

  async function shot(name: string): Promise<void> {
    const folder = process.env.TASKFLEET_SCREENSHOTS
    if (folder === undefined) return
    await mkdir(folder, { recursive: true })
    await page.screenshot({ path: `${folder}/${name}.png` })
  }

  /** Every task that is on the page has its own socket, and moves. */
  async function allLive(): Promise<number> {
    const rows = page.locator('[data-testid=task-row][data-status=running]')
    await page.waitForFunction(
      () => {
        const shown = [...document.querySelectorAll('[data-testid=task-row][data-status=running]')]
        const seen = shown.filter((row) => row.getBoundingClientRect().bottom < innerHeight)
        return seen.length > 10 && seen.every((row) => row.getAttribute('data-source') === 'live')
      },
      undefined,
      // Not with every frame: drawing sixty bars is enough work.
      { ...WAIT, polling: 1_000 },
    )
    expect(await page.getByRole('alert').allTextContents()).toEqual([])
    return rows.count()
  }

  test.each(['/', '/tasks'])('%s opens, and every bar on it is live', async (path) => {
    await page.goto(`${runners[0]!.url}${path}`, WAIT)
    await page.locator('[data-testid=connection][data-state=live]').first().waitFor(WAIT)
    const shown = await allLive()
    expect(shown).toBeGreaterThan(10)
    await shot(`sixty${path.replaceAll(/\W+/g, '-')}`)
    // It stays so: nothing that opened is refused later.
    await sleep(2_000)
    expect(await allLive()).toBe(shown)
  })

  test('the pages change without waiting, back and forth', async () => {
    await page.goto(`${runners[0]!.url}/`, WAIT)
    for (const [link, path] of [
      ['Tasks', '/tasks'],
      ['Fleet', '/'],
      ['Queues', '/queues'],
      ['Tasks', '/tasks'],
    ] as const) {
      await page.getByRole('link', { name: link, exact: true }).first().click(WAIT)
      await page.waitForURL((url) => url.pathname === path, WAIT)
    }
    await allLive()
    expect(complaints).toEqual([])
  })
})
