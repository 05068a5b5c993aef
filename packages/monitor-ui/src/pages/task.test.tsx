// @vitest-environment happy-dom
import type { HistoryRow, StoredLogLine, TaskRow } from '@taskfleet/protocol'
import { act, fireEvent, screen, waitFor, within } from '@testing-library/react'
import { beforeEach, describe, expect, it, vi } from 'vitest'
import { FakeFleet } from '../testing/fake-fleet.ts'
import { click, withoutComplaints } from '../testing/page.ts'
import { renderMonitor } from '../testing/render-monitor.tsx'
import { aKey, aTask, aWorker, iso } from '../testing/rows.ts'

const MINUTE = 60_000
const FAULT = { code: 'HTTP_503', name: 'Error', message: 'busy', fingerprint: 'f' }
const from = (ms: number) => iso(Date.now() + ms)

let fleet: FakeFleet
let copied: string[]

beforeEach(() => {
  fleet = new FakeFleet()
  fleet.putWorker(aWorker({ name: 'fra-1' }, Date.now()))
  copied = []
  vi.stubGlobal('navigator', {
    ...{ userAgent: 'test', language: 'en', platform: 'test' },
    clipboard: { writeText: async (text: string) => void copied.push(text) },
  })
  localStorage.clear()
})
withoutComplaints()

const open = async (task: TaskRow, search = '') => {
  const rendered = await renderMonitor(fleet, `/tasks/${task._id}${search}`)
  await screen.findByTestId('task-page')
  return rendered
}
const region = (name: string) => screen.findByRole('region', { name })
const timeline = () =>
  [...screen.getByTestId('timeline').children].map((one) => one.querySelector('p')?.textContent ?? '')

describe('the timeline', () => {
  it('tells what happened, the newest first, with names of keys', async () => {
    fleet.welcome = { ...fleet.welcome, scopes: ['read', 'write', 'control', 'admin'] }
    const key = fleet.putKey(aKey({ name: 'night shift' }))
    const task = fleet.put(
      aTask.pending({
        ...{ createdAt: from(-10 * MINUTE), attempt: 1, failures: 1, runAt: from(5 * MINUTE), schedule: 'nightly' },
        attempts: [
          {
            ...{ n: 1, worker: 'w1', host: 'fra-1', outcome: 'failed', error: FAULT },
            ...{ claimedAt: from(-8 * MINUTE), endedAt: from(-6 * MINUTE) },
          },
        ],
      }),
    )
    vi.spyOn(fleet.audit, 'list').mockResolvedValue([
      {
        ...{ _id: 'a'.repeat(24), by: key.id, action: 'edit', at: from(-5 * MINUTE), reason: 'smaller <b>parts</b>' },
        ...{ tasks: [task._id], matched: 1, changed: 1 },
      },
    ])
    await open(task)
    await waitFor(() => expect(timeline()[0]).toBe('night shift edited: smaller <b>parts</b>'))
    expect(timeline().slice(1)).toEqual([
      expect.stringMatching(/^Waits for the next attempt · due in [45]\sm$/),
      'Attempt 1 on fra-1 127.0.0.2 · failed',
      'Waited for a worker',
      'Enqueued by the schedule nightly',
    ])
    expect(within(screen.getByTestId('attempt-error')).getByText('HTTP_503')).toBeTruthy()
    expect(screen.getByTestId('timeline').querySelector('b')).toBeNull()
  })

  it('says so if it may not read who did what, and shows the rest', async () => {
    fleet.refused.set('audit.list', { code: 'FORBIDDEN', message: 'not for this key' })
    await open(fleet.put(aTask.running({}, Date.now())))
    await screen.findByText('not for this key')
    expect(timeline().at(-1)).toBe('Enqueued')
  })

  it('shows many entries on request', async () => {
    const attempts = Array.from({ length: 40 }, (_, index) => ({
      ...{ n: index + 1, worker: 'w1', host: 'fra-1', outcome: 'released' as const },
      ...{ claimedAt: from(-100 * MINUTE + index * MINUTE), endedAt: from(-99.5 * MINUTE + index * MINUTE) },
    }))
    await open(fleet.put(aTask.pending({ attempt: 40, attempts, createdAt: from(-101 * MINUTE) }, Date.now())))
    await click(/^Show \d+ more$/)
    expect(screen.getAllByTestId('attempt')).toHaveLength(40)
  })

  it('is red only where the task ended red', async () => {
    const attempts = [
      { n: 1, worker: 'w1', claimedAt: from(-MINUTE), endedAt: from(-30_000), outcome: 'failed', error: FAULT },
      { n: 2, worker: 'w1', claimedAt: from(-20_000), endedAt: from(-5_000), outcome: 'completed' },
    ] as const
    const task = fleet.put(aTask.completed({ attempt: 2, attempts: [...attempts], error: FAULT }, Date.now()))
    await open(task)
    await screen.findByText('HTTP_503')
    expect(screen.queryByRole('region', { name: 'Error' })).toBeNull()
    expect(screen.getByTestId('task-page').querySelector('.text-bad')).toBeNull()
    act(() => void fleet.patch(task._id, { status: 'failed' }))
    await region('Error')
  })
})

describe('the log', () => {
  const MANY = 10_000
  const many = (): StoredLogLine[] =>
    Array.from({ length: MANY }, (_, index) => ({
      ...{ attempt: 1, seq: index + 1, at: iso(1_000_000 + index), level: index % 100 === 0 ? 'warn' : 'info' },
      message: `line ${index + 1} of many`,
    }))
  const drawn = () => [...document.querySelectorAll<HTMLElement>('[data-line]')]
  const few = () => {
    const task = fleet.put(aTask.failed({ attempt: 1 }, Date.now()))
    const line = (seq: number, level: StoredLogLine['level'], message: string) => ({
      ...{ attempt: 1, seq, at: `2026-01-05T12:00:0${seq}.12${seq}Z`, level, message },
    })
    fleet.store(
      task._id,
      line(1, 'debug', 'Connect to a'),
      line(2, 'info', 'got <b>x</b>'),
      line(3, 'error', 'connect failed'),
    )
    return task
  }

  it('finds lines, goes through them by keyboard, and marks what was found', async () => {
    await open(few())
    await screen.findByText('Connect to a')
    const search = screen.getByRole('searchbox', { name: 'Search in the log' })
    fireEvent.change(search, { target: { value: 'connect' } })
    await screen.findByText('2 lines')
    expect([...document.querySelectorAll('mark')].map((one) => one.textContent)).toEqual(['Connect', 'connect'])
    fireEvent.keyDown(search, { key: 'Enter' })
    await screen.findByText('2 of 2')
    fireEvent.keyDown(search, { key: 'Enter', shiftKey: true })
    await screen.findByText('1 of 2')
    expect(
      drawn()
        .filter(({ dataset }) => dataset.state === 'chosen')
        .map(({ dataset }) => dataset.line),
    ).toEqual(['1.1'])
    fireEvent.keyDown(search, { key: 'Escape' })
    await waitFor(() => expect(document.querySelector('mark')).toBeNull())
  })

  it('shows lines of at least a level, with milliseconds', async () => {
    await open(few())
    await screen.findByText('Connect to a')
    fireEvent.change(screen.getByLabelText('Level'), { target: { value: 'info' } })
    expect(drawn().map(({ dataset }) => dataset.level)).toEqual(['info', 'error'])
    fireEvent.click(screen.getByLabelText('ms'))
    expect(drawn()[0]?.textContent).toMatch(/:02\.122/)
    expect(localStorage.getItem('taskfleet.log.ms')).toBe('on')
  })

  it('is copied and saved as text, with what was not loaded yet', async () => {
    const task = fleet.put(aTask.failed({ attempt: 1 }, Date.now()))
    fleet.store(task._id, ...many().slice(0, 1_500))
    await open(task)
    await screen.findByText('The newest 200 lines')
    await click('Copy the log')
    await waitFor(() => expect(copied).toHaveLength(1))
    const written = copied[0]?.trimEnd().split('\n')
    expect(written).toHaveLength(1_500)
    expect(written?.[0]).toBe('1970-01-01T00:16:40.000Z attempt 1 WARN  line 1 of many')
  })

  it('has a link to each line, which scrolls to it and marks it', async () => {
    const task = few()
    const { router } = await open(task)
    await screen.findByText('Connect to a')
    const link = within(drawn()[1] as HTMLElement).getByRole('link')
    expect(link.getAttribute('href')).toBe(`/tasks/${task._id}?line=1.2`)
    await act(() => router.navigate({ to: '/tasks/$id', params: { id: task._id }, search: { line: '1.2' } }))
    await waitFor(() => expect(drawn()[1]?.dataset.state).toBe('marked'))
    expect(screen.getByLabelText<HTMLInputElement>('Follow').checked).toBe(false)
  })

  it('draws a part of ten thousand lines, and loads what an address names', async () => {
    const scrolls = vi.fn()
    vi.spyOn(HTMLElement.prototype, 'scrollTo').mockImplementation(scrolls)
    vi.spyOn(HTMLElement.prototype, 'offsetHeight', 'get').mockReturnValue(20)
    const task = fleet.put(aTask.failed({ attempt: 1 }, Date.now()))
    fleet.store(task._id, ...many())
    await open(task, '?line=1.20')
    // Everything up to it is loaded, page by page.
    await screen.findByRole('button', { name: 'Load all' })
    await waitFor(() => expect(screen.queryByRole('button', { name: 'Load all' })).toBeNull())
    await waitFor(() => expect(scrolls).toHaveBeenCalled())
    expect(drawn().length).toBeGreaterThan(0)
    expect(drawn().length).toBeLessThan(200)
    fireEvent.change(screen.getByRole('searchbox', { name: 'Search in the log' }), { target: { value: '99 of' } })
    await screen.findByText('100 lines')
  })
})

describe('input and output', () => {
  it('are trees with paths and values to copy, and nothing in them is markup', async () => {
    const input = JSON.parse(
      '{"url": "javascript:alert(1)", "page": "https://example.org/a", "<b>k</b>\\u202e": {"deep": [1, "x"]}, "__proto__": 3}',
    )
    await open(
      fleet.put(aTask.completed({ input, output: { rows: Array.from({ length: 120 }, (_, n) => n) } }, Date.now())),
    )
    const tree = within(await region('Input as JSON'))
    tree.getByText('<b>k</b>\\u{202e}')
    tree.getByText('__proto__')
    expect(document.querySelector('a[href^="javascript"]')).toBeNull()
    expect(tree.getByRole('link').getAttribute('href')).toBe('https://example.org/a')
    fireEvent.click(tree.getByRole('button', { name: /^Open input\["<b>k<\/b>\\u\{202e\}"\]\.deep$/ }))
    fireEvent.click(tree.getByRole('button', { name: /^Copy the path input.*\[1\]$/ }))
    fireEvent.click(tree.getByRole('button', { name: /^Copy the value of input.*\.deep$/ }))
    await waitFor(() => expect(copied).toEqual(['input["<b>k</b>\u202e"].deep[1]', '[\n  1,\n  "x"\n]']))
    const output = within(await region('Output as JSON'))
    fireEvent.click(output.getByRole('button', { name: 'Open output.rows' }))
    expect(output.queryByText('50')).toBeNull()
    fireEvent.click(output.getByRole('button', { name: 'Show 50 of 70 more' }))
    fireEvent.click(output.getByRole('button', { name: 'Show 20 of 20 more' }))
    expect(output.getAllByText('119').length).toBeGreaterThan(0)
  })

  it('cuts a long text until all of it is wanted', async () => {
    await open(fleet.put(aTask.pending({ input: { text: 'x'.repeat(5_000) } })))
    const tree = await region('Input as JSON')
    expect(tree.textContent?.length).toBeLessThan(1_000)
    await click('Show all 5,000 characters')
    expect(tree.textContent).toContain('x'.repeat(5_000))
  })
})

describe('tasks like this', () => {
  const history = (count: number): HistoryRow[] => [
    {
      ...{ at: from(-MINUTE), queue: 'default', name: 'encode', outcome: 'completed', status: 'completed', count },
      waitMs: { count },
      runMs: { count, p50: 60_000, p95: 100_000, p99: 120_000 },
    },
  ]
  const task = (more: Partial<TaskRow> = {}) => fleet.put(aTask.running({ name: 'encode', ...more }, Date.now()))

  it('say where a running one lies and when it may end', async () => {
    vi.spyOn(fleet.tasks, 'history').mockResolvedValue(history(40))
    await open(task({ progress: { message: 'pass 1', at: from(-1_000) } }))
    const like = await screen.findByTestId('like-this')
    await within(like).findByText('Within the usual time of encode')
    expect(within(like).getByTestId('usual-end').textContent).toMatch(
      /^Half of them end within 1\sm\s00\ss: in [1-3]?\d\ss$/,
    )
    expect(within(like).getByRole('img').getAttribute('aria-label')).toMatch(
      /^Run times: half within 1\sm\s00\ss, 95 % within 1\sm\s40\ss, this one/,
    )
  })

  it('ask for a week where a day has few of them', async () => {
    const asked = vi.spyOn(fleet.tasks, 'history').mockResolvedValue(history(3))
    await open(task({ claimedAt: from(-3 * MINUTE) }))
    await screen.findByText('3 attempts of all versions completed in the last 7 days. Times are estimated.')
    screen.getByText(/^Already slower than 99\s% of encode$/)
    expect(asked).toHaveBeenCalledTimes(2)
    expect(screen.queryByTestId('usual-end')).toBeNull()
  })

  it('say nothing to a key that may not read the history', async () => {
    fleet.refused.set('tasks.history', { code: 'FORBIDDEN', message: 'no' })
    await open(task())
    await waitFor(() => expect(fleet.read).toContain('tasks.history'))
    await waitFor(() => expect(screen.queryByTestId('like-this')).toBeNull())
  })
})

it('shows what it waits for and what waits for it, with their states', async () => {
  const before = fleet.put(aTask.failed({ title: 'first part' }, Date.now()))
  const task = fleet.put(aTask.blocked({ after: [before._id, 'f'.repeat(24)] }, Date.now()))
  fleet.put(aTask.blocked({ after: task._id, title: 'last part' }, Date.now()))
  await open(task)
  const waits = within(await region('Waits for'))
  await waits.findByRole('link', { name: 'first part' })
  waits.getByText('Failed')
  waits.getByText('removed')
  const next = within(await region('Waited for by'))
  await next.findByRole('link', { name: 'last part' })
  next.getByText('Blocked')
})
