import { loadavg } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import chromium from '@sparticuz/chromium'
import { defineTask, TaskRunner } from '@taskfleet/worker'
import { type CDPSession, type Page, chromium as playwright } from 'playwright-core'
import { z } from 'zod'
import { type Bed, median, quantile, storeTasks } from './bed.ts'
import { storeEnded } from './ended-tasks.ts'

const HOSTS = 3
const EACH = 50
/** Five reports a second. */
const REPORT_MS = 200
const WATCHED_MS = Number(process.env.MONITOR_SECONDS ?? 60) * 1_000
/** The page loads its other files after the first one. */
const SETTLE_MS = 10_000
const LONG_LIST = 100_000
const SCROLLED_MS = 10_000
const WAIT = { timeout: 60_000 }

/**
 * What does the monitor's page cost the browser: the board with three hosts of fifty moving tasks, and a list of 100,000 ended tasks that is
 * scrolled? The floor is an empty page of the same size. The browser draws without a graphics card here, on the processors that the workers
 * and the database use as well.
 */
export async function run(bed: Bed): Promise<void> {
  const moves = defineTask({
    name: 'moves',
    input: z.object({}),
    async run({ progress, signal }) {
      for (let done = 0; ; done = (done + 1) % 3_000) {
        progress({ done, total: 3_000, unit: 'steps' })
        await sleep(REPORT_MS, undefined, { signal })
      }
    },
  })
  const quick = defineTask({ name: 'quick', input: z.object({}), run: async () => undefined })
  const runners = await Promise.all(
    Array.from({ length: HOSTS }, async (_, at) => {
      const runner = new TaskRunner({
        mongo: bed.uri,
        tasks: [moves, quick],
        name: `host-${at}`,
        concurrency: EACH,
        listen: { host: '127.0.0.1', port: 0 },
      })
      bed.defer(() => runner.stop({ grace: 0 }))
      await runner.start()
      return runner
    }),
  )
  const [model] = await storeTasks(bed.fleet, 1, { name: 'quick' })
  await bed.fleet.result(model!._id)
  await storeTasks(bed.fleet, HOSTS * EACH, { name: 'moves' })

  const browser = await playwright.launch({
    executablePath: await chromium.executablePath(),
    // Without a graphics card, a canvas that is drawn by an emulated one stops the page for as long as that is busy.
    args: [...chromium.args.filter((arg) => arg !== '--single-process'), '--disable-accelerated-2d-canvas'],
    headless: true,
  })
  bed.defer(() => browser.close())
  const page = await browser.newPage({ viewport: { width: 1440, height: 900 } })
  // What tsx wraps functions in.
  await page.addInitScript('globalThis.__name = (one) => one')
  let sockets = 0
  page.on('websocket', (socket) => {
    sockets += 1
    socket.on('close', () => (sockets -= 1))
  })
  const cdp = await page.context().newCDPSession(page)
  // Of a core, not of the time: the page shares two cores with all that it watches.
  await cdp.send('Performance.enable', { timeDomain: 'threadTicks' })

  await page.goto('about:blank')
  print('an empty page', await watched(page, cdp, 10_000))

  await page.goto(`${runners[0]!.url}/`)
  const cells = '[data-testid=task-cell][data-status=running]'
  await page.waitForFunction(
    ([selector, count]) => {
      const shown = [...document.querySelectorAll(String(selector))]
      return shown.length === count && shown.every((one) => one.getAttribute('data-source') === 'live')
    },
    [cells, HOSTS * EACH] as const,
    { ...WAIT, polling: 500 },
  )
  await sleep(SETTLE_MS)
  const isCut = await page.evaluate((selector) => {
    const { bottom } = [...document.querySelectorAll(selector)].at(-1)!.getBoundingClientRect()
    return bottom > innerHeight
  }, cells)
  print(
    `${HOSTS} × ${EACH} moving tasks, all live${isCut ? ', some below the edge' : ''}`,
    await watched(page, cdp, WATCHED_MS),
    sockets,
  )

  const ended = await bed.fleet.tasks.findOne({ _id: model!._id })
  await storeEnded(bed.fleet.tasks as never, ended as never, LONG_LIST)
  await bed.fleet.as().tasks.cancel({ filter: { name: 'moves' } })
  await Promise.all(runners.slice(1).map((runner) => runner.stop({ grace: 0 })))
  await page.goto('about:blank')
  await page.setContent(plainRows(), WAIT)
  printFrames('the floor, a page of plain rows', await scrolled(page, SCROLLED_MS))
  await page.goto(`${runners[0]!.url}/tasks?status=completed&sort=-finishedAt`)
  await page.locator('[data-testid=task-row]').nth(5).waitFor(WAIT)
  await sleep(SETTLE_MS)
  const frames = await scrolled(page, SCROLLED_MS)
  const rows = await page.locator('[role=table][aria-rowcount]').getAttribute('aria-rowcount')
  printFrames(`${LONG_LIST} ended tasks, through ${rows} rows`, frames)
}

/** Rows without any script, as many as are scrolled through. */
function plainRows(): string {
  const row = '<div data-testid=task-row style="display:flex;gap:8px;height:28px;border-bottom:1px solid #ddd">'
  const cells = '<span style="width:170px">a cell with a text</span>'.repeat(7)
  const rows = `${row}${cells}</div>`.repeat(8_000)
  return `<body style="margin:0;font:13px sans-serif"><div style="height:900px;overflow-y:auto"><div>${rows}</div></div></body>`
}

function printFrames(what: string, frames: readonly number[]): void {
  const rate = frames.length / (SCROLLED_MS / 1_000)
  process.stdout.write(
    `${what}, scrolled for ${SCROLLED_MS / 1_000} s: ${rate.toFixed(1)} frames a second, a frame takes ${median(frames).toFixed(1)} ms, p95 ${quantile(frames, 0.95).toFixed(1)} ms; load average ${loadavg()[0]!.toFixed(1)}\n`,
  )
}

interface Cost {
  seconds: number
  /** The time of the page's main thread, of a core. */
  busy: number
  longTasks: number
  longestMs: number
  /** After a collection of garbage, in MB. */
  heap: [before: number, after: number]
}

async function watched(page: Page, cdp: CDPSession, ms: number): Promise<Cost> {
  // Both collect garbage, which is no task of the page.
  const before = await metrics(cdp)
  await page.evaluate(() => {
    const seen: number[] = []
    Object.assign(window, { longTasks: seen })
    new PerformanceObserver((list) => seen.push(...list.getEntries().map(({ duration }) => duration))).observe({
      type: 'longtask',
    })
  })
  await sleep(ms)
  const long = await page.evaluate(() => (window as unknown as { longTasks: number[] }).longTasks)
  const after = await metrics(cdp)
  return {
    seconds: ms / 1_000,
    busy: (after.TaskDuration! - before.TaskDuration!) / (ms / 1_000),
    longTasks: long.length,
    longestMs: Math.max(0, ...long),
    heap: [before.JSHeapUsedSize! / 1e6, after.JSHeapUsedSize! / 1e6],
  }
}

async function metrics(cdp: CDPSession): Promise<Record<string, number>> {
  await cdp.send('HeapProfiler.collectGarbage')
  const { metrics: found } = await cdp.send('Performance.getMetrics')
  return Object.fromEntries(found.map(({ name, value }) => [name, value]))
}

function print(what: string, { seconds, busy, longTasks, longestMs, heap }: Cost, sockets = 0): void {
  process.stdout.write(
    `${what}, for ${seconds} s: ${(busy * 100).toFixed(1)} % of a core, ${longTasks} tasks of the page above 50 ms (the longest ${longestMs.toFixed(0)} ms), heap ${heap[0].toFixed(1)} → ${heap[1].toFixed(1)} MB, ${sockets} sockets; load average ${loadavg()[0]!.toFixed(1)}\n`,
  )
}

/** Scrolls a list by 300 pixels with every frame. Returns how long each frame took, in milliseconds. */
function scrolled(page: Page, ms: number): Promise<number[]> {
  return page.evaluate(
    (lasts) =>
      new Promise<number[]>((resolve) => {
        const row = document.querySelector('[data-testid=task-row]')!
        let list = row.parentElement!
        while (getComputedStyle(list).overflowY !== 'auto' || list.scrollHeight <= list.clientHeight)
          list = list.parentElement!
        const frames: number[] = []
        const beganAt = performance.now()
        let last = beganAt
        const frame = (): void => {
          const now = performance.now()
          frames.push(now - last)
          last = now
          list.scrollTop += 300
          if (now - beganAt < lasts) requestAnimationFrame(frame)
          else resolve(frames)
        }
        requestAnimationFrame(frame)
      }),
    ms,
  )
}
