// @vitest-environment happy-dom
import type { TaskRow } from '@taskfleet/protocol'
import { act, fireEvent, screen, waitFor, within } from '@testing-library/react'
import { beforeEach, describe, expect, it, vi } from 'vitest'
import { FakeFleet } from '../testing/fake-fleet.ts'
import { click, withoutComplaints } from '../testing/page.ts'
import { renderMonitor } from '../testing/render-monitor.tsx'
import { aKey, aTask, iso } from '../testing/rows.ts'

let fleet: FakeFleet

beforeEach(() => {
  fleet = new FakeFleet()
})
withoutComplaints()

const MINUTE = 60_000
const from = (ms: number) => iso(Date.now() + ms)
const put = (make: (overrides?: Partial<TaskRow>, now?: number) => TaskRow, overrides: Partial<TaskRow> = {}) =>
  fleet.put(make(overrides, Date.now()))

describe('the audit log', () => {
  it('shows who did what, the newest first, and more on request', async () => {
    const task = put(aTask.pending)
    await fleet.tasks.pause({ id: task._id, reason: '<b>why</b>' })
    await fleet.queues.pause({ name: 'bulk' })
    await renderMonitor(fleet)
    fireEvent.click(screen.getByRole('link', { name: 'History' }))
    const rows = await screen.findAllByTestId('audit-row')
    expect(rows.map(({ dataset }) => dataset.action)).toEqual(['queue pause', 'pause'])
    expect(rows[1]?.textContent).toContain('<b>why</b>')
    expect(
      within(rows[0] as HTMLElement)
        .getByRole('link')
        .getAttribute('href'),
    ).toBe('/tasks?queue=bulk')
    expect(
      within(rows[1] as HTMLElement)
        .getByRole('link')
        .getAttribute('href'),
    ).toBe(`/tasks/${task._id}`)
    expect(screen.queryByRole('button', { name: 'Load more' })).toBeNull()
    await Promise.all(Array.from({ length: 120 }, (_, n) => fleet.queues.pause({ name: `q${n}` })))
    await click('Refresh')
    await screen.findByText('100+ entries')
    await click('Load more')
    await screen.findByText('122 entries')
    expect(screen.getAllByTestId('audit-row')).toHaveLength(122)
  })

  it('counts the tasks of a command on many, and names some', async () => {
    const tasks = Array.from({ length: 12 }, () => put(aTask.failed))
    await fleet.tasks.retry({ filter: { status: 'failed' } })
    await renderMonitor(fleet, '/history')
    const row = await screen.findByTestId('audit-row')
    within(row).getByText('12 tasks')
    within(row).getByText('{"status":"failed"}')
    expect(within(row).getAllByRole('link')).toHaveLength(10)
    expect(within(row).getByText('and 2 more')).toBeTruthy()
    expect(tasks).toHaveLength(12)
  })

  it('explains to a key that it may not read it', async () => {
    fleet.refused.set('audit.list', {
      code: 'FORBIDDEN',
      message: 'A key that is limited may not touch the whole audit log',
    })
    await renderMonitor(fleet, '/history')
    await screen.findByText('This key may not read the audit log of the fleet')
    screen.getByText('A key that is limited may not touch the whole audit log')
    expect(screen.queryByRole('button', { name: 'Refresh' })).toBeNull()
    expect(screen.queryByRole('alert')).toBeNull()
  })

  it('names keys and is filtered by its address', async () => {
    fleet.welcome = { ...fleet.welcome, scopes: ['admin'] }
    const key = fleet.putKey(aKey({ name: 'night shift' }))
    const by = (one: string, action: string, target: string, ago: number) => ({
      ...{
        _id: `${ago}`.padStart(24, '0'),
        at: from(-ago),
        by: one,
        action,
        target,
        tasks: [],
        matched: 1,
        changed: 1,
      },
    })
    vi.spyOn(fleet.audit, 'list').mockResolvedValue([
      by(key.id, 'queue pause', 'bulk', MINUTE),
      by('local', 'error resolved', 'c0ffee', 10 * MINUTE),
      by('local', 'schedule pause', 'nightly', 40 * MINUTE),
    ])
    const { router } = await renderMonitor(fleet, '/history?who=night')
    const row = await screen.findByTestId('audit-row')
    expect(row.textContent).toContain('night shiftpaused a queuebulk')
    await screen.findByText('1 of 3 entries')
    await click('Clear filters')
    await waitFor(() => expect(screen.getAllByTestId('audit-row')).toHaveLength(3))
    expect(screen.getByRole('link', { name: 'c0ffee' }).getAttribute('href')).toBe('/errors/c0ffee')
    expect(screen.getByRole('link', { name: 'nightly' }).getAttribute('href')).toBe('/schedules?name=nightly')
    fireEvent.change(screen.getByLabelText('What'), { target: { value: 'schedule pause' } })
    await waitFor(() => expect(screen.getAllByTestId('audit-row')).toHaveLength(1))
    expect(router.state.location.href).toBe('/history?did=schedule+pause')
    await act(() => router.navigate({ to: '/history', search: { range: '15m' } as never }))
    await waitFor(() => expect(screen.getAllByTestId('audit-row')).toHaveLength(2))
    fireEvent.change(screen.getByLabelText('Target, reason or filter'), { target: { value: 'COFFEE' } })
    await screen.findByText('No entry matches the filters')
    await click('Clear filters')
    await waitFor(() => expect(router.state.location.href).toBe('/history'))
    expect(screen.getAllByTestId('audit-row')).toHaveLength(3)
  })

  it('is saved as CSV, as it is shown', async () => {
    await fleet.queues.pause({ name: 'bulk', reason: 'full' })
    await fleet.queues.pause({ name: 'other' })
    const saved: Blob[] = []
    vi.spyOn(URL, 'createObjectURL').mockImplementation((blob) => {
      saved.push(blob as Blob)
      return 'blob:x'
    })
    const names: string[] = []
    vi.spyOn(HTMLAnchorElement.prototype, 'click').mockImplementation(function (this: HTMLAnchorElement) {
      names.push(this.download)
    })
    await renderMonitor(fleet, '/history?about=bulk')
    await screen.findByTestId('audit-row')
    await click('Save as CSV')
    expect(names).toEqual(['taskfleet-history.csv'])
    const lines = (await saved[0]?.text())?.split('\r\n')
    expect(lines).toHaveLength(3)
    expect(lines?.[1]).toMatch(/,local,local,paused a queue,bulk,.*,full,/)
  })
})
