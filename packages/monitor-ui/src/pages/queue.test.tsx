// @vitest-environment happy-dom
import { act, fireEvent, screen, waitFor, within } from '@testing-library/react'
import { beforeEach, describe, expect, it } from 'vitest'
import { FakeFleet } from '../testing/fake-fleet.ts'
import { click, dialog, toast, undo, withoutComplaints } from '../testing/page.ts'
import { renderMonitor } from '../testing/render-monitor.tsx'
import { aTask, aWorker, iso } from '../testing/rows.ts'

let fleet: FakeFleet

beforeEach(() => {
  fleet = new FakeFleet()
  fleet.putWorker(aWorker({ name: 'fra-1', heartbeatMs: 60_000 }, Date.now()))
})
withoutComplaints()

const figure = (label: string) =>
  document.querySelector(`[data-figure="${label}"] dd`)?.textContent?.replaceAll('\u00a0', ' ')

describe('the page of a queue', () => {
  it('shows what waits, runs and ended, and who serves it', async () => {
    const now = Date.now()
    fleet.put(aTask.running({ title: 'big.iso' }, now))
    fleet.put(aTask.pending({ title: 'next.iso', runAt: iso(now - 90_000) }, now))
    fleet.put(aTask.pending({ queue: 'other', title: 'foreign.iso' }, now))
    fleet.putQueue({ _id: 'default', paused: false, concurrency: 3, updatedAt: iso(now), rev: 1 })
    await fleet.roll(
      { queue: 'default', name: 'download', count: 6 },
      { queue: 'default', name: 'download', count: 2, status: 'failed' },
    )
    await fleet.roll({ queue: 'other', name: 'download', count: 50 })
    await renderMonitor(fleet, '/queues/default')
    await waitFor(() => expect(figure('Ended')).toBe('8in this range'))
    expect(figure('Failed')).toBe('225 %')
    await waitFor(() => expect(figure('Running')).toBe('1of at most 3'))
    await waitFor(() => expect(figure('Oldest waits')).toBe('1 m'))
    expect(figure('Wait p50')).toMatch(/^\d+ msp95 \d+ ms$/)
    await within(await screen.findByRole('region', { name: 'Running' })).findByText('big.iso')
    await within(await screen.findByRole('list', { name: 'Waiting tasks' })).findByText('next.iso')
    expect(screen.queryByText('foreign.iso')).toBeNull()
    const hosts = within(await screen.findByRole('list', { name: 'Hosts' }))
    expect((await hosts.findByRole('link')).textContent).toBe('fra-1')
    const chart = within(await screen.findByTestId('range-chart'))
    expect(chart.getByRole('list', { name: 'In all' }).textContent).toBe('6 completed2 failed')
    const handler = await waitFor(() => {
      const found = document.querySelector<HTMLElement>('[data-handler="download@2"]')
      expect(found).not.toBeNull()
      return found as HTMLElement
    })
    expect(handler.textContent).toContain('download@2')
  })

  it('is paused and resumed there', async () => {
    fleet.put(aTask.pending({}, Date.now()))
    await renderMonitor(fleet, '/queues/default')
    await click('Pause default')
    await toast('The queue default is paused')
    const state = () => screen.getByTestId('queue-state')
    await waitFor(() => expect(state().dataset.paused).toBe('true'))
    expect(state().textContent).toContain('by local')
    await click('Say why default is paused')
    fireEvent.change(within(await dialog()).getByLabelText('Reason (optional)'), { target: { value: 'maintenance' } })
    await click('Save')
    await waitFor(() => expect(state().textContent).toContain('maintenance'))
    await click('Resume default')
    await waitFor(() => expect(state().dataset.paused).toBe('false'))
    await undo('The queue default is resumed')
    await waitFor(() => expect(state().textContent).toContain('maintenance'))
    expect(fleet.rows.queues.get('default')).toMatchObject({ paused: true, reason: 'maintenance' })
  })

  it('offers no action to a key that may only read', async () => {
    fleet.welcome = { ...fleet.welcome, scopes: ['read'] }
    await renderMonitor(fleet, '/queues/default')
    await screen.findByRole('list', { name: 'Hosts' })
    expect(screen.queryByRole('button', { name: 'Pause default' })).toBeNull()
    expect(screen.queryByRole('button', { name: 'Limits of default' })).toBeNull()
  })

  it('says that there is no such queue, and how it is made', async () => {
    await renderMonitor(fleet, '/queues/nowhere')
    await screen.findByText('There is no queue nowhere')
    screen.getByText('taskfleet enqueue NAME --queue nowhere')
  })

  it('says that nobody serves it while tasks wait', async () => {
    fleet.put(aTask.pending({ queue: 'bulk' }, Date.now()))
    await renderMonitor(fleet, '/queues/bulk')
    await screen.findByText('No live worker serves this queue, so its tasks wait.')
  })

  it('keeps its figures while the line is cut', async () => {
    fleet.put(aTask.running({ title: 'big.iso' }, Date.now()))
    await renderMonitor(fleet, '/queues/default')
    await waitFor(() => expect(figure('Running')).toBe('1no limit'))
    act(() => fleet.setState('reconnecting'))
    await waitFor(() => expect(document.querySelector('[data-outdated]')).not.toBeNull())
    expect(figure('Running')).toBe('1no limit')
    expect(screen.getAllByRole('alert').map(({ dataset }) => dataset.testid)).toEqual(['connection-banner'])
    within(screen.getByRole('region', { name: 'Running' })).getByText('big.iso')
  })

  it('shows why its history is refused, and the rest of the page', async () => {
    fleet.put(aTask.running({ title: 'big.iso' }, Date.now()))
    fleet.refused.set('tasks.history', { code: 'FORBIDDEN', message: 'Not with this key' })
    await renderMonitor(fleet, '/queues/default')
    await screen.findByText('big.iso')
    expect((await screen.findByRole('alert')).textContent).toContain('Not with this key')
    expect(screen.queryByTestId('range-chart')).toBeNull()
  })
})
