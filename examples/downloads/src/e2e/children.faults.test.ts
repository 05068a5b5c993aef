import { readdir, readFile } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, describe, expect, test } from 'vitest'
import { type Demo, startOwnDemo } from './demo.ts'

/** Processes inherit it, so that they are found again whoever has become their parent. */
const MARK = 'TASKFLEET_TEST_MARK'
/** A child may finish what it does, and the database its files. */
const GONE_MS = 15_000

let demo: Demo | undefined
afterEach(async () => {
  await demo?.stop()
  demo = undefined
})

/** The processes with our mark, as `pid command`. */
async function marked(mark: string): Promise<string[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name))
  const found = await Promise.all(
    pids.map(async (pid) => {
      const env = await readFile(`/proc/${pid}/environ`, 'utf8').catch(() => '')
      if (!env.split('\0').includes(`${MARK}=${mark}`)) return []
      return [`${pid} ${(await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')).replaceAll('\0', ' ')}`]
    }),
  )
  return found.flat()
}

async function allGone(mark: string, withinMs: number): Promise<string[]> {
  const until = performance.now() + withinMs
  for (;;) {
    const left = await marked(mark)
    if (left.length === 0 || performance.now() > until) return left
    await sleep(100)
  }
}

async function started(until: RegExp): Promise<{ demo: Demo; mark: string }> {
  const mark = `${process.pid}-${performance.now()}`
  const one = await startOwnDemo(['--scale', '0.2', '--hosts', '2'], { [MARK]: mark })
  demo = one
  await one.line(until)
  return { demo: one, mark }
}

// Elsewhere than on Linux the system does not tell which processes carry the mark.
describe.runIf(process.platform === 'linux')('no process outlives start', { timeout: 240_000 }, () => {
  test('after a second Ctrl-C, which ends all of them at once', async () => {
    const { demo, mark } = await started(/running on host/)
    // Start, the gateway, two hosts, and the database with its guard.
    expect((await marked(mark)).length).toBeGreaterThanOrEqual(6)
    void demo.signal('SIGINT')
    await demo.line(/once more to stop at once/)
    void demo.signal('SIGINT')
    expect(await demo.closed).toBe(130)
    expect(await allGone(mark, 2_000)).toEqual([])
  })

  test('after SIGTERM', async () => {
    const { demo, mark } = await started(/running on host/)
    void demo.signal('SIGTERM')
    expect(await demo.closed).toBe(0)
    expect(await allGone(mark, 2_000)).toEqual([])
  })

  test('when start itself is killed', async () => {
    const { demo, mark } = await started(/running on host/)
    void demo.signal('SIGKILL')
    await demo.closed
    expect(await allGone(mark, GONE_MS)).toEqual([])
  })

  test('when start is killed while it still starts the others', async () => {
    const { demo, mark } = await started(/Commands: /)
    void demo.signal('SIGKILL')
    await demo.closed
    expect(await allGone(mark, GONE_MS)).toEqual([])
  })
})
