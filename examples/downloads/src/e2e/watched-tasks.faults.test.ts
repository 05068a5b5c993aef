import { mkdir } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { Fleet } from '@taskfleet/core'
import { countFault } from '@taskfleet/testkit/count-fault'
import { WorkerProcess } from '@taskfleet/testkit/faults/worker-process'
import { useDatabase } from '@taskfleet/testkit/use-database'
import { defineTask, TaskRunner } from '@taskfleet/worker'
import type { Browser, Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { z } from 'zod'
import { launchBrowser } from './browser.ts'

const WAIT = { timeout: 120_000, polling: 500 }
const TASKS = fileURLToPath(new URL('./moving.tasks.mjs', import.meta.url))
const EACH = 50
const MOST_SOCKETS = 4

/** Runs at a worker that does not listen. */
const quiet = defineTask({
  name: 'quiet',
  input: z.object({}),
  async run({ progress, signal }) {
    let done = 0
    const timer = setInterval(() => {
      done += 1
      progress({ done, total: 100_000 })
    }, 200)
    await new Promise((resolve) => signal.addEventListener('abort', resolve))
    clearInterval(timer)
  },
})

/** The websockets of a page, as the browser itself counts them. */
class PageSockets {
  readonly #open = new Map<string, string>()
  most = 0

  async follow(page: Page): Promise<void> {
    const devTools = await page.context().newCDPSession(page)
    devTools.on('Network.webSocketCreated', ({ requestId, url }) => {
      this.#open.set(requestId, url)
      this.most = Math.max(this.most, this.#open.size)
    })
    devTools.on('Network.webSocketClosed', ({ requestId }) => this.#open.delete(requestId))
    await devTools.send('Network.enable')
  }

  get hosts(): string[] {
    return [...this.#open.values()].map((url) => new URL(url).host).sort()
  }
}

describe('a page with 3 × 50 moving tasks', { timeout: 400_000 }, () => {
  const own = useDatabase()
  const hosts: WorkerProcess[] = []
  const sockets = new PageSockets()
  let silent: TaskRunner
  let fleet: Fleet
  let browser: Browser
  let page: Page

  const start = async (name: string): Promise<WorkerProcess> => {
    const args = ['--listen', '127.0.0.1:0', '--name', name, '--concurrency', String(EACH), '--lease', '4000']
    const host = await WorkerProcess.start({ mongo: own.uri, tasks: TASKS, args })
    hosts.push(host)
    return host
  }

  const addressOf = (host: WorkerProcess): string => {
    const line = host.lines.find((one) => one.includes('"listening"'))!
    return (JSON.parse(line) as { url: string }).url
  }

  beforeAll(async () => {
    fleet = await Fleet.connect(own.uri)
    for (const name of ['host-a', 'host-b', 'host-c']) await start(name)
    await fleet.as().tasks.enqueueMany({
      tasks: Array.from({ length: 3 * EACH }, (_, n) => ({ name: 'moving', input: { n }, maxAttempts: 9 })),
    })
    silent = new TaskRunner({ mongo: own.uri, tasks: [quiet], queues: ['quiet'], name: 'quiet-host' })
    await silent.start()
    await fleet.enqueue(quiet, {}, { queue: 'quiet' })
    browser = await launchBrowser()
    // Large enough for all rows: what nobody sees is not watched.
    page = await browser.newPage({ viewport: { width: 1920, height: 3_600 } })
    await sockets.follow(page)
  }, 240_000)

  afterAll(async () => {
    await browser?.close()
    await silent?.stop({ grace: 0 })
    await Promise.all(hosts.map((host) => host.signal('SIGKILL')))
    await fleet?.close()
  })

  async function shot(name: string): Promise<void> {
    const folder = process.env.TASKFLEET_SCREENSHOTS
    if (folder === undefined) return
    await mkdir(folder, { recursive: true })
    await page.screenshot({ path: `${folder}/${name}.png`, timeout: WAIT.timeout })
  }

  /** Resolves when this many rows of these hosts are live, and each has moved since the call. */
  async function allMove(names: readonly string[], count: number): Promise<void> {
    await page.evaluate(() => {
      ;(window as unknown as { before: Map<string, string> }).before = new Map()
    })
    await page.waitForFunction(
      ([cards, wanted]) => {
        const { before } = window as unknown as { before: Map<string, string> }
        const rows = cards.flatMap((name) => [
          ...document.querySelectorAll(`[data-worker="${name}"] [data-testid=task-cell][data-status=running]`),
        ])
        const moved = rows.filter((row) => {
          const id = row.getAttribute('data-task')!
          const text = row.getAttribute('title')!
          if (!before.has(id)) before.set(id, text)
          return row.getAttribute('data-source') === 'live' && before.get(id) !== text
        })
        return rows.length === wanted && moved.length === wanted
      },
      [names, count] as const,
      WAIT,
    )
  }

  test('all are live over four sockets at most: one to each host, which serves the page as well', async () => {
    await page.goto(`${addressOf(hosts[0]!)}/`, { timeout: WAIT.timeout })
    await allMove(['host-a', 'host-b', 'host-c'], 3 * EACH)
    expect(sockets.hosts).toEqual(hosts.map((host) => new URL(addressOf(host)).host).sort())
    expect(sockets.most).toBeLessThanOrEqual(MOST_SOCKETS)
    expect(await page.getByRole('alert').allTextContents()).toEqual([])
    await shot('watched-150')
  })

  test('a task of a worker that does not listen is said to be shown as it is stored', async () => {
    const row = page.locator('[data-worker="quiet-host"] [data-testid=task-row]')
    await row.waitFor({ timeout: WAIT.timeout })
    await page.waitForFunction(
      () => document.querySelector('[data-worker="quiet-host"] [data-source=stored]')?.textContent?.includes('stored'),
      undefined,
      WAIT,
    )
    expect(await row.locator('[title*="does not listen"]').count()).toBe(1)
  })

  test('one host is killed: the others stay live, and its tasks are live again at the next one', async () => {
    await hosts[2]!.signal('SIGKILL')
    countFault('host killed')
    await page.waitForFunction(
      () => {
        const lost = [...document.querySelectorAll('[data-worker="host-c"] [data-testid=task-cell]')]
        return lost.every((row) => row.getAttribute('data-source') !== 'live')
      },
      undefined,
      WAIT,
    )
    await allMove(['host-a', 'host-b'], 2 * EACH)
    await shot('watched-100')
    await start('host-d')
    await allMove(['host-a', 'host-b', 'host-d'], 3 * EACH)
    expect(sockets.most).toBeLessThanOrEqual(MOST_SOCKETS)
    await shot('watched-150-again')
  })
})
