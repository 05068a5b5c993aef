// @vitest-environment happy-dom
import { act, fireEvent, screen, waitFor, within } from '@testing-library/react'
import { beforeEach, describe, expect, it } from 'vitest'
import { FakeFleet } from '../testing/fake-fleet.ts'
import { click, toast, withoutComplaints } from '../testing/page.ts'
import { renderMonitor } from '../testing/render-monitor.tsx'
import { anError, aTask, aWorker, iso } from '../testing/rows.ts'

let fleet: FakeFleet

beforeEach(() => {
  fleet = new FakeFleet()
})
withoutComplaints()

const worker = (name: string, differs: Parameters<typeof aWorker>[0] = {}) =>
  fleet.putWorker(aWorker({ _id: name, name, host: `m-${name}`, heartbeatMs: 60_000, ...differs }, Date.now()))
const line = async (name: string) => {
  await screen.findByRole('table', { name: 'Hosts' })
  const found = document.querySelector<HTMLElement>(`[data-testid="host-row"][data-host="${name}"]`)
  if (found === null) throw new Error(`no host ${name}`)
  return found
}
/** The cells of a line by the titles of their columns. */
const cells = async (name: string) => {
  const titles = within(screen.getByRole('table', { name: 'Hosts' })).getAllByRole('columnheader')
  const row = within(await line(name)).getAllByRole('cell')
  return Object.fromEntries(
    titles.map(({ textContent }, index) => [textContent, row[index]?.textContent?.replaceAll('\u00a0', ' ')]),
  )
}
const select = async (name: string) => fireEvent.click(within(await line(name)).getByRole('checkbox'))

describe('the page of all hosts', () => {
  it('compares workers and gateways', async () => {
    worker('fra-1', {
      running: 3,
      load: { cpu: 0.34, hostCpu: 0.7, rss: 182e6, memoryFree: 8e9, eventLoopDelayMs: 2.4 },
    })
    worker('gate', { role: 'gateway', slots: 0, queues: [], tasks: [] })
    worker('old', { state: 'stopped', stoppedAt: iso(Date.now() - 60_000) })
    fleet.putError(anError({ code: 'ENOSPC', hosts: ['fra-1'] }, Date.now()))
    const done = { queue: 'default', name: 'download', host: 'fra-1' }
    await fleet.roll({ ...done, count: 9 }, { ...done, count: 1, status: 'failed' })
    await renderMonitor(fleet, '/hosts')
    await line('fra-1')
    await waitFor(async () => expect((await cells('fra-1'))['Done an hour']).toBe('9'))
    expect(await cells('fra-1')).toMatchObject({
      ...{ Host: 'fra-1', State: 'Running', Version: '0.1.0up 1 h', Queues: 'default', Slots: '3/4' },
      ...{ CPU: '34 %machine 70 %', Memory: '182 MB', Loop: '2.4 ms' },
      ...{ 'Failed %': '10 %', 'Open error': 'ENOSPC' },
    })
    expect(await cells('gate')).toMatchObject({ Host: 'gateGateway only', Slots: '–', 'Done an hour': '–' })
    expect((await line('old')).dataset.state).toBe('stopped')
    expect(within(await line('gate')).queryByRole('checkbox')).toBeNull()
    expect(screen.getByRole('link', { name: 'fra-1' }).getAttribute('href')).toBe('/hosts/fra-1')
    expect(screen.getAllByRole('link', { name: 'default' })[0]?.getAttribute('href')).toBe('/queues/default')
  })

  it('drains and resumes one or several at once, and takes it back', async () => {
    for (const name of ['a', 'b']) worker(name)
    await renderMonitor(fleet, '/hosts')
    await select('a')
    await click('Drain')
    await toast('a accepts no new tasks')
    await waitFor(async () => expect((await line('a')).dataset.state).toBe('draining'))
    expect(screen.queryByRole('group', { name: 'For the selected hosts' })).toBeNull()
    worker('c', { running: 2 })
    await waitFor(() => line('c'))
    await select('b')
    await select('c')
    await click('Drain 2')
    await toast('2 hosts accept no new tasks')
    // Two at once are sent in any order.
    expect(
      fleet
        .sent('workers.drain')
        .map(({ worker }) => worker)
        .sort(),
    ).toEqual(['a', 'b', 'c'])
    await waitFor(async () => expect((await line('c')).dataset.state).toBe('draining'))
    fireEvent.click(screen.getByRole('checkbox', { name: 'Select all hosts' }))
    await click('Resume 3')
    await toast('3 hosts accept tasks again')
    await waitFor(async () => expect((await line('a')).dataset.state).toBe('running'))
    fireEvent.click(screen.getAllByRole('button', { name: 'Undo' }).at(-1)!)
    await toast('3 hosts accept no new tasks')
    await waitFor(async () => expect((await line('a')).dataset.state).toBe('draining'))
  })

  it('shows how long a draining host still works, or that this is unknown', async () => {
    const now = Date.now()
    worker('a', { state: 'draining', running: 1 })
    worker('b', { state: 'draining', running: 1 })
    fleet.put(aTask.running({ worker: 'a', name: 'encode', claimedAt: iso(now - 60_000) }, now))
    fleet.put(aTask.running({ worker: 'b', name: 'other', claimedAt: iso(now - 60_000) }, now))
    await fleet.roll({ queue: 'default', name: 'encode', count: 20, runMs: 900_000 })
    await renderMonitor(fleet, '/hosts')
    await line('a')
    const left = async (name: string) => within(await line(name)).getByTestId('until-empty').textContent
    await waitFor(async () => expect(await left('a')).toMatch(/^until empty: 1 task, about \d+\u00a0m$/))
    expect(await left('b')).toBe('until empty: 1 task, time unknown')
  })

  it('offers no selection to a key that may only read', async () => {
    fleet.welcome = { ...fleet.welcome, scopes: ['read'] }
    worker('a')
    await renderMonitor(fleet, '/hosts')
    await line('a')
    expect(screen.queryByRole('checkbox')).toBeNull()
  })

  it('says how a first host is started', async () => {
    await renderMonitor(fleet, '/hosts')
    await screen.findByText('There are no hosts yet')
    screen.getByText(/taskfleet worker --tasks FILE/)
  })

  it('turns no host silent while only the line of this page is cut', async () => {
    worker('a')
    await renderMonitor(fleet, '/hosts')
    await line('a')
    // It has 1.2 s for its next heartbeat, of which the page hears nothing.
    act(() => void worker('a', { heartbeatMs: 400, heartbeatAt: iso(Date.now()), rev: 2 }))
    act(() => fleet.setState('reconnecting'))
    await waitFor(() => expect(screen.getByTestId('connection-banner').textContent).toMatch(/for [2-9]\ss/))
    expect((await line('a')).dataset.state).toBe('running')
  })
})
