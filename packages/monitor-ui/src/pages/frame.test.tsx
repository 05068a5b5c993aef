// @vitest-environment happy-dom
import { act, fireEvent, screen, waitFor, within } from '@testing-library/react'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { FakeFleet } from '../testing/fake-fleet.ts'
import { toast, undo, withoutComplaints } from '../testing/page.ts'
import { renderMonitor } from '../testing/render-monitor.tsx'
import { anError, aTask, aWorker, iso } from '../testing/rows.ts'
import { setZone } from '../view/zone.ts'

let fleet: FakeFleet
beforeEach(() => {
  fleet = new FakeFleet()
  localStorage.clear()
})
afterEach(() => setZone(undefined))
withoutComplaints()

const main = () => within(screen.getByRole('main'))
const pages = () => within(screen.getByRole('navigation', { name: 'Pages' }))

/** As on a phone: none of the widths that the page asks for are there. */
function narrow(): void {
  const none = { matches: false, addEventListener: () => undefined, removeEventListener: () => undefined }
  vi.spyOn(window, 'matchMedia').mockReturnValue(none as unknown as MediaQueryList)
}

describe('the frame', () => {
  it('names the tab by what fails, the page and the environment', async () => {
    fleet.welcome = { ...fleet.welcome, environment: 'prod-eu' }
    fleet.putError(anError({}, Date.now()))
    await renderMonitor(fleet, '/tasks')
    await waitFor(() => expect(document.title).toBe('1 failing · Tasks · prod-eu'))
    expect(screen.getByTestId('environment').textContent).toBe('prod-eu')
  })

  it('has a bar with five entries on phones, and all other pages behind the last', async () => {
    narrow()
    const { router } = await renderMonitor(fleet)
    expect([...pages().getAllByRole('link'), ...pages().getAllByRole('button')].map((one) => one.textContent)).toEqual([
      ...['Now', 'Tasks', 'Errors', 'Queues', 'More'],
    ])
    fireEvent.click(pages().getByRole('button', { name: 'More' }))
    fireEvent.click(pages().getByRole('link', { name: 'Schedules' }))
    await waitFor(() => expect(router.state.location.pathname).toBe('/schedules'))
    await waitFor(() => expect(pages().queryByRole('link', { name: 'Schedules' })).toBeNull())
  })

  it('keeps the time range on every page, in the address', async () => {
    const { router } = await renderMonitor(fleet, '/tasks?status=failed')
    fireEvent.change(await screen.findByLabelText('Time range'), { target: { value: '24h' } })
    await waitFor(() => expect(router.state.location.href).toBe('/tasks?status=failed&range=24h'))
    fireEvent.click(pages().getByRole('link', { name: 'History' }))
    await waitFor(() => expect(router.state.location.href).toBe('/history?range=24h'))
    fireEvent.change(screen.getByLabelText('Time range'), { target: { value: '' } })
    await waitFor(() => expect(router.state.location.href).toBe('/history'))
  })

  it('takes a range between two dates', async () => {
    const { router } = await renderMonitor(fleet, '/tasks')
    fireEvent.change(await screen.findByLabelText('Time range'), { target: { value: 'own' } })
    const dialog = within(await screen.findByRole('dialog', { name: 'Between two dates' }))
    const set = (label: string, value: string) => fireEvent.change(dialog.getByLabelText(label), { target: { value } })
    set('From', '2027-03-01T04:00')
    set('To', '2027-03-01T02:00')
    expect(dialog.getByRole('status').textContent).toContain('before')
    set('From', '2027-03-01T01:30')
    fireEvent.click(dialog.getByRole('button', { name: 'Show this range' }))
    await waitFor(() => expect(router.state.location.href).toMatch(/^\/tasks\?range=2027-0[23]-\d\dT\d\d:30Z\/2027/))
  })

  it('shows dates in the chosen zone, and keeps it', async () => {
    const task = fleet.put(aTask.completed({ finishedAt: '2027-03-01T12:00:00.000Z' }, Date.now()))
    await renderMonitor(fleet, `/tasks/${task._id}`)
    fireEvent.click(await screen.findByRole('button', { name: 'Key and preferences' }))
    fireEvent.change(await screen.findByLabelText('Time zone'), { target: { value: 'Asia/Tokyo' } })
    await main().findByText(/1 Mar 2027, 21:00:00 (GMT\+9|JST)/)
    expect(localStorage.getItem('taskfleet.zone')).toBe('Asia/Tokyo')
  })

  it('says what a key may do, and to what it is limited', async () => {
    fleet.welcome = { ...fleet.welcome, scopes: ['read', 'write'], queues: ['bulk'] }
    await renderMonitor(fleet)
    fireEvent.click(await screen.findByRole('button', { name: 'Key and preferences' }))
    const dialog = await screen.findByRole('dialog', { name: 'Key and preferences' })
    expect(dialog.textContent).toContain('see tasks, enqueue tasks')
    expect(dialog.textContent).toContain('only bulk')
    expect(dialog.textContent).not.toContain('manage keys')
  })

  it('leads from earlier addresses to the pages of today', async () => {
    const { router } = await renderMonitor(fleet, '/audit')
    await waitFor(() => expect(router.state.location.pathname).toBe('/history'))
  })
})

describe('search and act', () => {
  const open = async (text: string) => {
    fireEvent.keyDown(document.body, { key: 'k', ctrlKey: true })
    const field = await screen.findByPlaceholderText(/A page, a task/)
    fireEvent.change(field, { target: { value: text } })
    return field
  }
  const inDialog = () => within(screen.getByRole('dialog'))
  const options = () =>
    inDialog()
      .getAllByRole('option')
      .map(({ textContent }) => textContent)
  /** What Enter does now. */
  const chosen = () => inDialog().getByRole('option', { selected: true }).textContent

  it('goes to pages', async () => {
    const { router } = await renderMonitor(fleet)
    const field = await open('sched')
    await waitFor(() => expect([options()[0], chosen()]).toEqual(['Schedules', 'Schedules']))
    fireEvent.keyDown(field, { key: 'Enter' })
    await waitFor(() => expect(router.state.location.pathname).toBe('/schedules'))
    expect(screen.queryByRole('dialog')).toBeNull()
  })

  it('drains a host', async () => {
    fleet.putWorker(aWorker({ name: 'encode-fra-02' }, Date.now()))
    await renderMonitor(fleet)
    await screen.findByTestId('worker-card')
    const field = await open('drain encode')
    await waitFor(() => expect([options()[0], chosen()]).toEqual(['Drain encode-fra-02', 'Drain encode-fra-02']))
    fireEvent.keyDown(field, { key: 'Enter' })
    await waitFor(() => expect(fleet.sent('workers.drain')).toHaveLength(1))
  })

  it('pauses a queue, which can be taken back', async () => {
    fleet.putQueue({ _id: 'bulk', paused: false, updatedAt: iso(Date.now()), rev: 1 })
    await renderMonitor(fleet)
    await screen.findByText('There are no hosts yet')
    const field = await open('pause bulk')
    await waitFor(() => expect([options()[0], chosen()]).toEqual(['Pause the queue bulk', 'Pause the queue bulk']))
    fireEvent.keyDown(field, { key: 'Enter' })
    await undo('The queue bulk is paused')
    await toast('The queue bulk is resumed')
    await waitFor(() => expect(fleet.rows.queues.get('bulk')?.paused).toBe(false))
  })

  it('chooses the row at the top though it came last, and keeps the one that was chosen by hand', async () => {
    await renderMonitor(fleet)
    await screen.findByText('There are no hosts yet')
    const field = await open('pause bulk')
    await waitFor(() => expect(chosen()).toBe('Tasks with pause bulk'))
    fleet.putQueue({ _id: 'bulk', paused: false, updatedAt: iso(Date.now()), rev: 1 })
    await waitFor(() => expect(chosen()).toBe('Pause the queue bulk'))
    fireEvent.keyDown(field, { key: 'ArrowDown' })
    await waitFor(() => expect(chosen()).toBe('Tasks with pause bulk'))
    fleet.putQueue({ _id: 'bulk-2', paused: false, updatedAt: iso(Date.now()), rev: 1 })
    await waitFor(() => expect(options()).toContain('Pause the queue bulk-2'))
    expect(chosen()).toBe('Tasks with pause bulk')
  })

  it('finds tasks by their title, and by a value of their input', async () => {
    const task = fleet.put(aTask.failed({ title: 'Invoice of March' }, Date.now()))
    fleet.put(aTask.failed({ title: 'Other' }, Date.now()))
    const { router } = await renderMonitor(fleet)
    await open('invoice')
    await inDialog().findByText('Invoice of March')
    const field = await open('status:failed input.to:~user42')
    await waitFor(() => expect(chosen()).toBe('Tasks with status:failed input.to:~user42'))
    fireEvent.keyDown(field, { key: 'Enter' })
    await waitFor(() => expect(router.state.location.href).toBe('/tasks?status=failed&q=input.to:~user42'))
    await open(task._id)
    await waitFor(() => expect(options()).toContain('Invoice of March failed'))
  })

  it('offers no action that the key may not do', async () => {
    fleet.welcome = { ...fleet.welcome, scopes: ['read'] }
    fleet.putWorker(aWorker({ name: 'encode-fra-02' }, Date.now()))
    await renderMonitor(fleet)
    await screen.findByTestId('worker-card')
    await open('drain')
    await waitFor(() => expect(options()).toEqual(['Tasks with drain']))
  })
})

describe('a search of tasks', () => {
  const field = () => screen.findByRole('combobox', { name: 'Search text' })

  it('moves what has a filter of its own there, and keeps the rest', async () => {
    const { router } = await renderMonitor(fleet, '/tasks')
    fireEvent.change(await field(), { target: { value: 'status:failed name:encode label.customer:cus_1' } })
    await waitFor(() =>
      expect(router.state.location.href).toBe('/tasks?status=failed&name=encode&q=label.customer:cus_1'),
    )
    await waitFor(async () => expect(((await field()) as HTMLInputElement).value).toBe('label.customer:cus_1'))
  })

  it('says why a token can not be used, and searches nothing', async () => {
    const { router } = await renderMonitor(fleet, '/tasks')
    fireEvent.change(await field(), { target: { value: 'ended:yesterday' } })
    expect((await screen.findByRole('alert')).textContent).toContain('ended:<1h')
    expect(router.state.location.href).toBe('/tasks')
  })

  it('shows what ended within the range, the last first', async () => {
    const now = Date.now()
    const old = aTask.failed({ finishedAt: new Date(now - 7_200_000).toISOString() }, now)
    const recent = fleet.put(aTask.failed({ finishedAt: new Date(now - 60_000).toISOString() }, now))
    fleet.put(old)
    await renderMonitor(fleet, '/tasks?status=failed&range=1h')
    const rows = () => screen.getAllByTestId('task-row').map(({ dataset }) => dataset.task)
    await waitFor(() => expect(rows()).toEqual([recent._id]))
    await act(async () => fireEvent.change(screen.getByLabelText('Time range'), { target: { value: '6h' } }))
    await waitFor(() => expect(rows()).toEqual([recent._id, old._id]))
  })
})
