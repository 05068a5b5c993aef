import { mkdir } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { Fleet } from '@taskfleet/core'
import { ReplyRelay } from '@taskfleet/testkit/reply-relay'
import { useDatabase } from '@taskfleet/testkit/use-database'
import { defineTask, TaskRunner } from '@taskfleet/worker'
import type { Browser, Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { z } from 'zod'
import { launchBrowser } from './browser.ts'

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
  let relay: ReplyRelay
  let throughRelay: string
  let browser: Browser
  let page: Page
  let fleet: Fleet
  const complaints: string[] = []

  beforeAll(async () => {
    relay = new ReplyRelay(own.uri)
    throughRelay = await relay.start(own.uri)
    for (const name of ['host-a', 'host-b', 'host-c']) runners.push(await startHost(name, 0))
    fleet = await Fleet.connect(own.uri)
    for (let at = 0; at < 3 * EACH; at += 1) {
      await fleet.enqueue(kinds[at % kinds.length]!, { file: `file-${at}.bin` })
    }
    browser = await launchBrowser()
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
    await relay?.stop()
  })

  async function startHost(name: string, port: number): Promise<TaskRunner> {
    const runner = new TaskRunner({
      mongo: throughRelay,
      tasks: kinds,
      concurrency: EACH,
      name,
      listen: { host: '127.0.0.1', port },
    })
    await runner.start()
    return runner
  }

  async function shot(name: string): Promise<void> {
    const folder = process.env.TASKFLEET_SCREENSHOTS
    if (folder === undefined) return
    await mkdir(folder, { recursive: true })
    await page.screenshot({ path: `${folder}/${name}.png`, ...WAIT })
  }

  /** Every task that is on the page has its own socket, and moves. */
  async function allLive(): Promise<number> {
    // A row, or a cell where a host has many.
    const each = ':is([data-testid=task-row],[data-testid=task-cell])[data-status=running]'
    const rows = page.locator(each)
    await page.waitForFunction(
      (selector) => {
        const shown = [...document.querySelectorAll(selector)]
        const seen = shown.filter((row) => {
          const { left, top, width, height } = row.getBoundingClientRect()
          // Not what lies under the edge of a list that scrolls: nobody sees it, so nothing is opened for it.
          return row.contains(document.elementFromPoint(left + width / 2, top + height / 2))
        })
        return seen.length > 10 && seen.every((row) => row.getAttribute('data-source') === 'live')
      },
      each,
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
      ['Now', '/'],
      ['Queues', '/queues'],
      ['Tasks', '/tasks'],
    ] as const) {
      await page.getByRole('link', { name: link, exact: true }).first().click(WAIT)
      await page.waitForURL((url) => url.pathname === path, WAIT)
    }
    await allLive()
    expect(complaints).toEqual([])
  })

  test('the database was away: the page says so, and goes on by itself', async () => {
    await page.goto(`${runners[0]!.url}/tasks`, WAIT)
    await allLive()
    relay.cut()
    try {
      // New queries have no answer: the page asks for them with every filter.
      await page.getByRole('button', { name: /^Pending/ }).click(WAIT)
      await page.getByRole('alert').first().waitFor(WAIT)
      await shot('database-away')
    } finally {
      relay.heal()
    }
    await page
      .getByRole('alert')
      .first()
      .waitFor({ ...WAIT, state: 'detached' })
    await page.getByRole('button', { name: /^Pending/ }).click(WAIT)
    await allLive()
    await shot('database-back')
  })

  test('the gateway of the page was away: other pages open meanwhile, and all is live again', async () => {
    const address = new URL(runners[0]!.url!)
    await page.goto(`${address.origin}/`, WAIT)
    await allLive()
    await runners[0]!.stop({ grace: 0 })
    await page.locator('[data-testid=connection][data-state=reconnecting]').waitFor(WAIT)
    await page.getByRole('link', { name: 'Queues', exact: true }).first().click(WAIT)
    await page.waitForURL((url) => url.pathname === '/queues', WAIT)
    await page.getByRole('link', { name: 'Tasks', exact: true }).first().click(WAIT)
    await shot('gateway-away')
    runners[0] = await startHost('host-a', Number(address.port))
    await page.locator('[data-testid=connection][data-state=live]').first().waitFor(WAIT)
    await allLive()
    await shot('gateway-back')
  })
})
