// @vitest-environment happy-dom
import { screen, waitFor, within } from '@testing-library/react'
import { beforeEach, describe, expect, it } from 'vitest'
import { FakeFleet } from '../testing/fake-fleet.ts'
import { click, toast, withoutComplaints } from '../testing/page.ts'
import { renderMonitor } from '../testing/render-monitor.tsx'
import { aTask, aWorker, iso } from '../testing/rows.ts'

let fleet: FakeFleet

beforeEach(() => {
  fleet = new FakeFleet()
})
withoutComplaints()

const state = () => screen.getByTestId('host-state').dataset.state
const endedHere = () => screen.getByTestId('ended-here').textContent?.replaceAll('\u00a0', ' ')

describe('the page of a host', () => {
  it('shows its state, its load, its running tasks and what ended there', async () => {
    fleet.putWorker(aWorker({ name: 'fra-1', running: 1, heartbeatMs: 60_000 }, Date.now()))
    fleet.put(aTask.running({ title: 'big.iso' }, Date.now()))
    fleet.put(aTask.running({ title: 'foreign.iso', worker: 'w2' }, Date.now()))
    const done = { queue: 'default', name: 'download', host: 'fra-1' }
    await fleet.roll({ ...done, count: 3 }, { ...done, count: 1, status: 'failed' }, { ...done, host: 'm2', count: 5 })
    await renderMonitor(fleet, '/hosts/fra-1')
    const here = within(await screen.findByRole('region', { name: 'Running here' }))
    await here.findByText('big.iso')
    expect(screen.queryByText('foreign.iso')).toBeNull()
    expect(state()).toBe('running')
    expect(document.querySelector('[data-figure="Slots in use"] dd')?.textContent).toBe('1of 4')
    await waitFor(() => expect(endedHere()).toBe('4 ended in this range, 25 % failed.'))
    const list = within(screen.getByTestId('range-chart')).getByRole('list', { name: 'In all' })
    expect(list.textContent).toBe('3 completed1 failed')
    const process = within(screen.getByTestId('process'))
    process.getByText('127.0.0.2')
    process.getByText('download@2')
    expect(process.getByRole('link', { name: 'default' }).getAttribute('href')).toBe('/queues/default')
  })

  it('is drained and resumed there', async () => {
    fleet.putWorker(aWorker({ name: 'fra-1', heartbeatMs: 60_000 }, Date.now()))
    await renderMonitor(fleet, '/hosts/fra-1')
    await click('Drain fra-1')
    await toast('fra-1 accepts no new tasks')
    await waitFor(() => expect(state()).toBe('draining'))
    expect(screen.getByTestId('until-empty').textContent).toBe('Empty.')
    await click('Resume fra-1')
    await waitFor(() => expect(state()).toBe('running'))
  })

  it('shows the history of one that is gone, and says so', async () => {
    const at = iso(Date.now() - 120_000)
    fleet.putWorker(aWorker({ name: 'old', state: 'stopped', stoppedAt: at, heartbeatAt: at }, Date.now()))
    await fleet.roll({ queue: 'default', name: 'download', host: 'old', count: 3 })
    await renderMonitor(fleet, '/hosts/old')
    await screen.findByText(/This host was stopped 2 m ago/)
    await waitFor(() => expect(endedHere()).toBe('3 ended in this range, 0 % failed.'))
    expect(screen.queryByRole('button', { name: 'Drain old' })).toBeNull()
  })

  it('says that its ended tasks are unknown when the list is refused', async () => {
    fleet.putWorker(aWorker({ name: 'fra-1', heartbeatMs: 60_000 }, Date.now()))
    fleet.refused.set('tasks.list', { code: 'UNKNOWN_FIELD', message: 'There is no field host' })
    await renderMonitor(fleet, '/hosts/fra-1')
    const part = within(await screen.findByRole('region', { name: 'Last ended here' }))
    await part.findByText('There is no field host')
    expect(screen.queryByRole('alert')).toBeNull()
  })

  it('says that there is no such host, and how it is started', async () => {
    await renderMonitor(fleet, '/hosts/nowhere')
    await screen.findByText('There is no host nowhere')
    screen.getByText('taskfleet worker --name nowhere --tasks FILE')
  })
})
