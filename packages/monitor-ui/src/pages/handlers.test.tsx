// @vitest-environment happy-dom
import type { HandlerRow, HistoryRow, TaskRow } from '@taskfleet/protocol'
import { act, fireEvent, screen, waitFor, within } from '@testing-library/react'
import { beforeEach, describe, expect, it, vi } from 'vitest'
import { FakeFleet } from '../testing/fake-fleet.ts'
import { click, dialog, fill, press, withoutComplaints } from '../testing/page.ts'
import { renderMonitor } from '../testing/render-monitor.tsx'
import { aTask, aWorker, iso } from '../testing/rows.ts'

let fleet: FakeFleet

beforeEach(() => {
  fleet = new FakeFleet()
})
withoutComplaints()

const put = (make: (overrides?: Partial<TaskRow>, now?: number) => TaskRow, overrides: Partial<TaskRow> = {}) =>
  fleet.put(make(overrides, Date.now()))
const worker = (tasks: string[]) => fleet.putWorker(aWorker({ name: 'fra-1', tasks }, Date.now()))
const rows = () => screen.findAllByTestId('coverage-row')
const cells = (row: HTMLElement | undefined) =>
  Object.fromEntries(
    [...(row?.querySelectorAll<HTMLElement>('td') ?? [])].map((cell) => [cell.dataset.title, cell.textContent]),
  )

describe('handlers', () => {
  it('show first what no worker serves, and load again on request', async () => {
    worker(['download@2'])
    put(aTask.running)
    put(aTask.pending, { name: 'transcode', version: 3 })
    await renderMonitor(fleet, '/handlers')
    await screen.findByText('1 version waits and no live host can run it.')
    const found = await rows()
    expect(found.map(({ dataset }) => [dataset.task, dataset.served])).toEqual([
      ['transcode@3', 'false'],
      ['download@2', 'true'],
    ])
    within(found[0] as HTMLElement).getByText('Nobody serves it')
    within(found[1] as HTMLElement).getByRole('link', { name: 'fra-1' })
    act(() => void worker(['download@2', 'transcode@3']))
    await click('Refresh')
    await screen.findByText('Every waiting version has a live host.')
  })

  it('are listed without any task, with what ended in the chosen time', async () => {
    worker(['download@2'])
    const row: HistoryRow = {
      ...{ at: iso(Date.now() - 60_000), queue: 'default', name: 'download', outcome: 'completed' },
      ...{ status: 'completed', count: 90, waitMs: { count: 0 }, runMs: { count: 90, p50: 1_500, p95: 4_000 } },
    }
    const failed = { ...row, outcome: 'failed', status: 'failed', count: 30, runMs: { count: 0 } }
    const asked = vi.spyOn(fleet.tasks, 'history').mockResolvedValue([row, failed])
    vi.spyOn(fleet.handlers, 'list').mockResolvedValue([HANDLER])
    await renderMonitor(fleet, '/handlers?range=15m')
    await waitFor(async () =>
      expect(cells((await rows())[0])).toMatchObject({
        ...{ Handler: 'download@2', 'Served by': 'fra-1', Queues: 'default', Waiting: '0', Oldest: '–' },
        ...{ Rate: '8\u00a0/min', 'Run p50': '1.50\u00a0s', 'Run p95': '4.00\u00a0s', Failed: '25\u00a0%' },
      }),
    )
    screen.getByText(/that ended in the last 15 minutes\./)
    expect(asked.mock.calls).toHaveLength(1)
    expect(asked.mock.calls[0]?.[0]).toMatchObject({ unit: 'minute' })
    expect(asked.mock.calls[0]?.[0]).not.toHaveProperty('name')
  })

  it('ask for hours where there are too many minutes', async () => {
    worker(['download@2'])
    const asked = vi.spyOn(fleet.tasks, 'history').mockResolvedValue([])
    asked.mockRejectedValueOnce(Object.assign(new Error('too many'), { code: 'TOO_BIG' }))
    put(aTask.running)
    await renderMonitor(fleet, '/handlers?range=6h')
    await rows()
    await waitFor(() => expect(asked.mock.calls.map(([request]) => request?.unit)).toEqual(['minute', 'hour']))
    expect(screen.queryByRole('alert')).toBeNull()
  })

  it('have a button for a new task of each', async () => {
    vi.spyOn(fleet.handlers, 'list').mockResolvedValue([{ ...HANDLER, name: 'archive' }, HANDLER])
    put(aTask.pending, { name: 'transcode', version: 3 })
    await renderMonitor(fleet, '/handlers')
    await click('New task of download@2')
    const form = await dialog()
    expect((await within(form).findByLabelText<HTMLSelectElement>('Handler')).value).toBe('download@2')
    press(form, 'Enqueue')
    await waitFor(() => expect(fleet.sent('tasks.enqueue')).toMatchObject([{ name: 'download', version: 2 }]))
    await waitFor(() => expect(screen.queryByRole('dialog')).toBeNull())
    await click('New task of transcode@3')
    const other = await dialog()
    expect(within(other).getByLabelText<HTMLInputElement>('Name').value).toBe('transcode')
    fill(other, 'Version', '4')
    press(other, 'Enqueue')
    await waitFor(() => expect(fleet.sent('tasks.enqueue')[1]).toMatchObject({ name: 'transcode', version: 4 }))
  })

  it('offer no new task to a key that may only read', async () => {
    fleet.welcome = { ...fleet.welcome, scopes: ['read'] }
    put(aTask.pending)
    await renderMonitor(fleet, '/handlers')
    await rows()
    expect(screen.queryByRole('button', { name: /^New task of/ })).toBeNull()
  })

  it('say how to get the first one', async () => {
    await renderMonitor(fleet, '/handlers')
    await screen.findByText('No worker has a handler yet, and no task waits')
    screen.getByText('npx taskfleet worker --tasks tasks.js')
  })

  it('show why they can’t be loaded', async () => {
    worker(['download@2'])
    const { router } = await renderMonitor(fleet)
    await screen.findByTestId('worker-card')
    fleet.refused.set('tasks.coverage', { code: 'FORBIDDEN', message: "This needs a key with the scope 'read'" })
    await act(() => router.navigate({ to: '/handlers' }))
    const alert = await screen.findByRole('alert')
    expect(alert.textContent).toContain("This needs a key with the scope 'read'")
    fleet.refused.clear()
    fireEvent.click(within(alert).getByRole('button', { name: 'Try again' }))
    await waitFor(() => expect(screen.queryByRole('alert')).toBeNull())
  })
})

const HANDLER: HandlerRow = { name: 'download', version: 2, queues: ['default'], workers: ['fra-1'] }
