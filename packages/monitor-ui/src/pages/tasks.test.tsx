// @vitest-environment happy-dom

import type { TaskRow, TaskStatus } from '@taskfleet/protocol'
import { act, fireEvent, screen, waitFor, within } from '@testing-library/react'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { FakeFleet } from '../testing/fake-fleet.ts'
import { click, dialog, toast, withoutComplaints } from '../testing/page.ts'
import { renderMonitor } from '../testing/render-monitor.tsx'
import { aTask, aWorker, iso } from '../testing/rows.ts'

let fleet: FakeFleet

beforeEach(() => {
  fleet = new FakeFleet()
  fleet.putWorker(aWorker({ name: 'fra-1' }, Date.now()))
})
afterEach(() => localStorage.clear())
withoutComplaints()

const at = (secondsAgo: number) => iso(Date.now() - secondsAgo * 1_000)
const put = (status: TaskStatus, overrides: Partial<TaskRow> = {}) =>
  fleet.put(aTask[status]({ ...overrides }, Date.now()))
const row = (id: string) => {
  const found = document.querySelector<HTMLElement>(`[data-testid="task-row"][data-task="${id}"]`)
  if (found === null) throw new Error(`no row for ${id}`)
  return found
}
const order = () => screen.getAllByTestId('task-row').map(({ dataset }) => dataset.task)
const key = (name: string, options = {}) =>
  fireEvent.keyDown(document.activeElement ?? document.body, { key: name, ...options })

describe('the open task', () => {
  const drawer = () => screen.findByTestId('task-drawer')
  /** The newest first, as in the list. */
  const three = () => {
    const tasks = ['one', 'two', 'three'].map((title) => put('failed', { title }))
    return tasks.reverse()
  }

  it('opens beside the list, in the address, and shows what matters', async () => {
    const task = put('running', { title: 'big.iso', input: { url: 'https://files.example/big.iso' } })
    fleet.log(task._id, 'warn', 'slow mirror')
    const { router } = await renderMonitor(fleet, '/tasks?status=running')
    fireEvent.click(await screen.findByRole('link', { name: 'big.iso' }))
    const open = within(await drawer())
    await open.findByRole('heading', { name: 'big.iso' })
    expect(router.state.location.href).toBe(`/tasks?status=running&open=${task._id}`)
    await open.findByText('slow mirror')
    expect(open.getByLabelText('Input as JSON').textContent).toContain('files.example')
    open.getByText('1 of 1')
    act(() => fleet.report(task._id, { done: 42.5e6, total: 100e6, unit: 'bytes' }))
    await waitFor(() => expect(open.getByRole('progressbar').getAttribute('aria-valuenow')).toBe('42.5'))
    expect(open.getByRole('link', { name: /Full page/ }).getAttribute('href')).toBe(`/tasks/${task._id}`)
    expect(row(task._id).dataset.open).toBe('true')
  })

  it('goes through the list by keys and closes with Escape', async () => {
    const [first, second, third] = three()
    const { router } = await renderMonitor(fleet, `/tasks?open=${first!._id}`)
    /** The keys go on from what is drawn. */
    const shows = async (place: number, task: TaskRow) => {
      await within(await drawer()).findByText(`${place} of 3`)
      expect((router.state.location.search as { open?: string }).open).toBe(task._id)
    }
    await shows(1, first!)
    key('ArrowRight')
    await shows(2, second!)
    key('j')
    await shows(3, third!)
    key('j')
    key('ArrowLeft')
    await shows(2, second!)
    key('k')
    await shows(1, first!)
    key('Escape')
    await waitFor(() => expect(screen.queryByTestId('task-drawer')).toBeNull())
    expect(router.state.location.href).toBe('/tasks')
    expect(document.activeElement).toBe(within(row(first!._id)).getByRole('link'))
  })

  it('goes to the page of the task with Ctrl, as links do', async () => {
    three()
    const { router } = await renderMonitor(fleet, '/tasks')
    const link = await screen.findByRole('link', { name: 'two' })
    expect(fireEvent.click(link, { ctrlKey: true })).toBe(true)
    expect(router.state.location.href).toBe('/tasks')
  })

  it('shows a task that the list does not have, and goes on into the list', async () => {
    const other = put('completed', { title: 'other' })
    const [first] = three()
    const { router } = await renderMonitor(fleet, `/tasks?status=failed&open=${other._id}`)
    const open = within(await drawer())
    await open.findByRole('heading', { name: 'other' })
    open.getByText('Not in the list')
    await waitFor(() => expect(order()).toHaveLength(3))
    fireEvent.click(open.getByRole('button', { name: 'Next task' }))
    await waitFor(() => expect(router.state.location.href).toBe(`/tasks?status=failed&open=${first!._id}`))
  })

  it('says why a task waits, and what has gone', async () => {
    const task = put('pending', { name: 'nobody.serves.it' })
    const { router } = await renderMonitor(fleet, `/tasks?open=${task._id}`)
    await waitFor(async () => within(await drawer()).getByText('No worker can run it'))
    await act(() => router.navigate({ to: '/tasks', search: { open: 'f'.repeat(24) } }))
    await within(await drawer()).findByText('This task does not exist')
  })
})

describe('commands on a row', () => {
  it('are at the row and act at once, or ask first', async () => {
    const failed = put('failed', { title: 'broken' })
    put('pending', { title: 'next' })
    await renderMonitor(fleet, '/tasks')
    await screen.findByRole('link', { name: 'next' })
    const names = within(row(failed._id))
      .getAllByRole('button')
      .map((button) => button.getAttribute('aria-label'))
    expect(names).toEqual(['Retry broken', 'Replay broken'])
    await click('Retry broken')
    await toast('Retried broken')
    expect(fleet.sent('tasks.retry')).toEqual([{ id: failed._id }])
    await click('Cancel next')
    await dialog()
    expect(fleet.sent('tasks.cancel')).toEqual([])
  })

  it('have keys', async () => {
    const task = put('pending', { title: 'next' })
    await renderMonitor(fleet, '/tasks')
    await screen.findByRole('link', { name: 'next' })
    key('j')
    key('r')
    key('p')
    await toast('Paused next')
    await waitFor(() => expect(row(task._id).dataset.status).toBe('paused'))
    key('p')
    await toast('Resumed next')
    key('c')
    expect((await dialog()).textContent).toContain('Cancel this task?')
    expect(fleet.written.map(([name]) => name)).toEqual(['tasks.pause', 'tasks.resume'])
  })

  it('replay a task with its input, which a list does not have', async () => {
    const task = put('completed', { title: 'done', input: { url: 'https://files.example/a' } })
    await renderMonitor(fleet, '/tasks')
    await screen.findByRole('link', { name: 'done' })
    key('j')
    key('R', { shiftKey: true })
    const form = within(await dialog())
    expect((await form.findByLabelText<HTMLTextAreaElement>(/^Input/)).value).toContain('files.example')
    expect(fleet.rows.tasks.get(task._id)?.status).toBe('completed')
  })
})

describe('the columns', () => {
  const headings = () => screen.getAllByRole('columnheader').map(({ textContent }) => textContent)
  const cells = (id: string) =>
    within(row(id))
      .getAllByRole('cell')
      .map(({ textContent }) => textContent)

  it('are those of the address: known ones, labels and paths of the input', async () => {
    const task = put('completed', {
      title: 'a',
      input: { to: 'user42', file: 'a.iso' },
      labels: { customer: 'cus_1' },
      queue: 'bulk',
    })
    await renderMonitor(fleet, '/tasks?columns=queue,title,labels.customer,input.to,output.bytes,nonsense')
    await screen.findByRole('link', { name: 'a' })
    expect(headings()).toEqual(['', 'Queue', 'Task', 'customer', 'input.to', 'output.bytes', 'Actions'])
    expect(cells(task._id).slice(1, 6)).toEqual(['bulk', 'adownload@2 · bulk', 'cus_1', 'user42', '100000000'])
  })

  it('are chosen, moved and kept for this browser', async () => {
    put('pending', { title: 'a', labels: { customer: 'cus_1' } })
    const { router } = await renderMonitor(fleet, '/tasks?status=pending')
    await screen.findByRole('link', { name: 'a' })
    await click('Columns')
    for (const name of ['Status', 'Host', 'Progress', 'Attempt', 'Prio']) await click(`Hide ${name}`)
    await click('Show Waited')
    fireEvent.change(screen.getByLabelText('A label or a path of the input'), { target: { value: 'label.customer' } })
    await click('Add column')
    await click('Move customer to the left')
    await waitFor(() => expect(headings()).toEqual(['', 'Task', 'Age', 'customer', 'Waited', 'Actions']))
    expect(router.state.location.href).toBe('/tasks?status=pending&columns=title,age,labels.customer,wait')
    await act(() => router.navigate({ to: '/tasks', search: {} }))
    await waitFor(() => expect(headings()).toEqual(['', 'Task', 'Age', 'customer', 'Waited', 'Actions']))
    await click('The usual columns')
    await waitFor(() => expect(headings()).toContain('Progress'))
    expect(localStorage.getItem('taskfleet.columns')).toBeNull()
  })

  it('put the list in order by a click on a heading, where an index has the order', async () => {
    const old = put('pending', { title: 'old', createdAt: at(100) })
    const recent = put('pending', { title: 'recent' })
    const { router } = await renderMonitor(fleet, '/tasks')
    await waitFor(() => expect(order()).toEqual([recent._id, old._id]))
    const age = () => screen.getByRole('columnheader', { name: 'Age' })
    expect(age().getAttribute('aria-sort')).toBe('descending')
    await click('Age')
    await waitFor(() => expect(order()).toEqual([old._id, recent._id]))
    expect(age().getAttribute('aria-sort')).toBe('ascending')
    expect(router.state.location.href).toBe('/tasks?sort=createdAt')
    await click('Age')
    await waitFor(() => expect(router.state.location.href).toBe('/tasks'))
    await click('Prio')
    await waitFor(() => expect(router.state.location.href).toBe('/tasks?sort=-priority'))
    expect(within(screen.getByRole('columnheader', { name: 'Host' })).queryByRole('button')).toBeNull()
    // Ended tasks have no order of priority.
    await act(() => router.navigate({ to: '/tasks', search: { status: ['failed'] } }))
    await waitFor(() => expect(screen.queryByRole('button', { name: 'Prio' })).toBeNull())
  })
})

describe('the width of a column', () => {
  const edge = (title: string) => screen.findByRole('separator', { name: `Width of ${title}` })
  const widthOf = async (title: string) => Number((await edge(title)).getAttribute('aria-valuenow'))
  const columnsIn = (search: unknown) => (search as { columns?: string }).columns

  it('is changed by the arrow keys, kept for this browser and in the address', async () => {
    const task = put('failed', { title: 'broken' })
    const { router } = await renderMonitor(fleet, `/tasks?columns=title,host,age&open=${task._id}`)
    await screen.findByRole('link', { name: 'broken' })
    const host = await edge('Host')
    expect(await widthOf('Host')).toBe(84)
    act(() => host.focus())
    key('ArrowRight')
    key('ArrowRight')
    expect(await widthOf('Host')).toBe(116)
    // The open task stays the same, and the address waits for the end.
    expect(columnsIn(router.state.location.search)).toBe('title,host,age')
    fireEvent.keyUp(host, { key: 'ArrowRight' })
    const address = `/tasks?columns=title,host:116,age&open=${task._id}`
    await waitFor(() => expect(router.state.location.href).toBe(address))
    expect(localStorage.getItem('taskfleet.columns')).toBe('title,host:116,age')
    key('End')
    fireEvent.keyUp(host, { key: 'End' })
    await waitFor(() => expect(columnsIn(router.state.location.search)).toBe('title,host:800,age'))
    key('Enter')
    await waitFor(() => expect(columnsIn(router.state.location.search)).toBe('title,host,age'))
    expect(await widthOf('Host')).toBe(84)
  })

  it('is changed by dragging the edge, and is the usual one again after a double click', async () => {
    put('failed', { title: 'broken' })
    const { router } = await renderMonitor(fleet, '/tasks')
    await screen.findByRole('link', { name: 'broken' })
    const title = await edge('Task')
    const table = screen.getByRole('table', { name: 'Tasks' })
    title.setPointerCapture = () => undefined
    fireEvent.pointerDown(title, { button: 0, pointerId: 1, clientX: 400 })
    fireEvent.pointerMove(title, { pointerId: 1, clientX: 480 })
    expect(table.style.getPropertyValue('--tracks')).toContain(' 248px ')
    fireEvent.pointerMove(title, { pointerId: 1, clientX: -4_000 })
    fireEvent.pointerMove(title, { pointerId: 1, clientX: 432 })
    expect(router.state.location.href).toBe('/tasks')
    fireEvent.pointerUp(title, { pointerId: 1 })
    const address = '/tasks?columns=status,title:200,host,progress,attempt,priority,age'
    await waitFor(() => expect(router.state.location.href).toBe(address))
    expect(await widthOf('Task')).toBe(200)
    fireEvent.doubleClick(title)
    await waitFor(() => expect(router.state.location.href).toBe('/tasks'))
    expect(localStorage.getItem('taskfleet.columns')).toBeNull()
  })
})

describe('pinned columns', () => {
  const pinned = (element: HTMLElement, role: 'cell' | 'columnheader') =>
    within(within(element).getByTestId('pinned'))
      .getAllByRole(role)
      .map(({ textContent }) => textContent)

  it('stay with the columns before them, in the address and in saved views', async () => {
    const task = put('failed', { title: 'broken', host: 'fra-1' })
    const { router } = await renderMonitor(fleet, '/tasks?columns=host,title,age')
    await screen.findByRole('link', { name: 'broken' })
    expect(screen.queryByTestId('pinned')).toBeNull()
    await click('Columns')
    await click('Pin Task')
    await waitFor(() => expect(router.state.location.href).toBe('/tasks?columns=host:pin,title:pin,age'))
    expect(pinned(row(task._id), 'cell')).toEqual(['', 'fra-1', 'brokendownload@2 · default'])
    expect(pinned(screen.getAllByRole('row')[0]!, 'columnheader')).toEqual(['', 'Host', 'Task'])
    // What is moved to the front is pinned there.
    await click('Move Age to the left')
    await waitFor(() => expect(router.state.location.href).toBe('/tasks?columns=host:pin,age:pin,title'))
    await click('Views')
    fireEvent.change(screen.getByLabelText('Name of the view'), { target: { value: 'Pinned' } })
    await click('Save this view')
    await act(() => router.navigate({ to: '/tasks', search: { columns: 'title' } }))
    await waitFor(() => expect(screen.queryByTestId('pinned')).toBeNull())
    fireEvent.click(screen.getByRole('link', { name: 'Pinned' }))
    await waitFor(() => expect(router.state.location.href).toBe('/tasks?columns=host:pin,age:pin,title'))
    await click('Columns')
    await click('Pin Host')
    await waitFor(() => expect(router.state.location.href).toBe('/tasks?columns=host,age,title'))
    expect(screen.queryByTestId('pinned')).toBeNull()
  })

  it('are not more than fit', async () => {
    put('failed', { title: 'broken' })
    await renderMonitor(fleet, '/tasks?columns=title:600:pin,age')
    await screen.findByRole('link', { name: 'broken' })
    expect(screen.queryByTestId('pinned')).toBeNull()
    await click('Columns')
    expect(screen.getByRole<HTMLButtonElement>('button', { name: 'Pin Age' }).disabled).toBe(true)
  })
})

describe('the density', () => {
  const heights = () => new Set(screen.getAllByTestId('task-row').map((one) => one.parentElement?.style.height))

  it('is chosen by the search and by the preferences, and kept for this browser', async () => {
    put('failed', { title: 'a' })
    put('running', { title: 'b' })
    await renderMonitor(fleet, '/tasks')
    await screen.findByRole('link', { name: 'b' })
    expect(heights()).toEqual(new Set(['28px']))
    const tracks = screen.getByRole('table', { name: 'Tasks', hidden: true }).style.getPropertyValue('--tracks')
    expect(tracks).toContain(' 196px ')
    fireEvent.keyDown(document.body, { key: 'k', ctrlKey: true })
    fireEvent.click(await within(await dialog()).findByRole('option', { name: /^Rows: comfortable/ }))
    await waitFor(() => expect(heights()).toEqual(new Set(['50px'])))
    expect(localStorage.getItem('taskfleet.density')).toBe('comfortable')
    expect(document.documentElement.dataset.density).toBe('comfortable')
    await click('Key and preferences')
    const choice = within(await dialog()).getByLabelText<HTMLSelectElement>('Density')
    expect(choice.value).toBe('comfortable')
    fireEvent.change(choice, { target: { value: 'tight' } })
    await waitFor(() => expect(heights()).toEqual(new Set(['24px'])))
    fireEvent.change(choice, { target: { value: 'compact' } })
    await waitFor(() => expect(heights()).toEqual(new Set(['28px'])))
    expect(localStorage.getItem('taskfleet.density')).toBeNull()
  })

  it('is as it was chosen, and the usual one if what was kept makes no sense', async () => {
    put('failed', { title: 'a' })
    localStorage.setItem('taskfleet.density', '__proto__')
    await renderMonitor(fleet, '/tasks')
    await screen.findByRole('link', { name: 'a' })
    expect(heights()).toEqual(new Set(['28px']))
  })
})

// A thousand rows cost a page of this kind ten seconds of computing.
describe('older tasks', { timeout: 180_000 }, () => {
  const many = (count: number) => {
    for (let n = 0; n < count; n += 1) put('completed', { title: `t${n}`, createdAt: at(count - n) })
  }
  const table = () => screen.getByRole('table', { name: 'Tasks' })
  const rowCount = () => Number(table().getAttribute('aria-rowcount')) - 1

  it('follow a live list that is full, are marked as read, and can be tried again', async () => {
    many(1_005)
    await fleet.stored()
    await renderMonitor(fleet, '/tasks?limit=1000')
    await waitFor(() => expect(rowCount()).toBe(1_000))
    expect(fleet.read).not.toContain('tasks.list')
    fleet.refused.set('tasks.list', { code: 'QUERY_TOO_SLOW', message: 'This takes longer than 2 s' })
    await click('Load more')
    await screen.findByText('This takes longer than 2 s')
    fleet.refused.clear()
    await click('Try again')
    await screen.findByText('1,005 tasks, 1,000 of them live')
    expect(screen.queryByRole('button', { name: 'Load more' })).toBeNull()
    // New tasks push others out of the live list, and none is lost.
    act(() => {
      for (let n = 0; n < 3; n += 1) put('pending', { title: `new${n}`, createdAt: at(0) })
    })
    await screen.findByText('1,008 tasks, 1,000 of them live')
    expect(rowCount()).toBe(1_008)
  })
})

describe('facets', () => {
  const values = (title: string) =>
    within(screen.getByRole('list', { name: title }))
      .getAllByRole('button')
      .map(({ textContent }) => textContent)
  const region = (name: string) => within(screen.getByRole('region', { name }))

  it('count handlers and queues of the whole fleet, by the chosen statuses', async () => {
    put('failed', { name: 'encode', queue: 'video' })
    put('failed', { name: 'encode', queue: 'bulk' })
    put('failed', { name: 'send' })
    put('pending', { name: 'send' })
    const { router } = await renderMonitor(fleet, '/tasks?status=failed')
    await click('Handler')
    await waitFor(() => expect(values('Handler')).toEqual(['encode2', 'send1']))
    region('Handler').getByText(', in the whole fleet')
    fireEvent.click(region('Handler').getByRole('button', { name: /encode/ }))
    await waitFor(() => expect(router.state.location.href).toBe('/tasks?status=failed&name=encode'))
    await click('Queue')
    await waitFor(() => expect(values('Queue')).toEqual(['bulk1', 'video1']))
  })

  it('count hosts, errors, versions and labels in the rows shown, and say so', async () => {
    put('failed', { title: 'a', host: 'fra-1', labels: { customer: 'Smith & Sons' } })
    put('failed', { title: 'b', host: 'fra-2', labels: { customer: 'cus_2' }, version: 3 })
    put('completed', { title: 'c', host: 'fra-2' })
    const { router } = await renderMonitor(fleet, '/tasks')
    await waitFor(() => expect(order()).toHaveLength(3))
    await click('Host')
    expect(values('Host')).toEqual(['fra-22', 'fra-11'])
    region('Host').getByText(', in the 3 tasks shown')
    await click('Error')
    expect(values('Error')).toEqual(['HTTP_4042'])
    await click('Version')
    expect(values('Version')).toEqual(['22', '31'])
    await click('Label')
    fireEvent.click(within(screen.getByRole('list', { name: 'customer' })).getByRole('button', { name: /Smith/ }))
    await waitFor(() => expect(order()).toHaveLength(1))
    expect(router.state.location.search).toEqual({ q: 'label.customer:"Smith & Sons"' })
    fireEvent.click(await region('Label').findByRole('button', { name: /Smith/, pressed: true }))
    await waitFor(() => expect(router.state.location.href).toBe('/tasks'))
  })

  it('count what ended in the range, by the kept history', async () => {
    await fleet.roll(
      { queue: 'video', name: 'encode', count: 3, status: 'failed', host: 'fra-1' },
      { queue: 'video', name: 'encode', count: 2, host: 'fra-2' },
    )
    await renderMonitor(fleet, '/tasks?status=failed&range=1h')
    await click('Host')
    await waitFor(() => expect(values('Host')).toEqual(['fra-13']))
    region('Host').getByText(', ended in this time')
  })
})

describe('the chart', () => {
  it('shows how the tasks of the filters ended, and can be left out', async () => {
    await fleet.roll(
      { queue: 'video', name: 'encode', count: 3, status: 'failed', host: 'fra-1' },
      { queue: 'video', name: 'encode', count: 2, host: 'fra-2' },
      { queue: 'mail', name: 'send', count: 7, host: 'fra-2' },
    )
    localStorage.setItem('taskfleet.tasks.chart', 'on')
    const { router } = await renderMonitor(fleet, '/tasks?queue=video')
    const chart = await screen.findByRole('region', { name: 'Ended' })
    await waitFor(() => expect(chart.textContent).toMatch(/2 completed3 failed/))
    await act(() => router.navigate({ to: '/tasks', search: { queue: 'video', host: 'fra-1' } }))
    await waitFor(() => expect(chart.textContent).toMatch(/0 completed3 failed/))
    await click('Chart')
    expect(screen.queryByRole('region', { name: 'Ended' })).toBeNull()
    expect(localStorage.getItem('taskfleet.tasks.chart')).toBe('off')
  })
})

describe('saved views', () => {
  it('are named, opened here and by the search, and forgotten', async () => {
    put('failed', { title: 'broken' })
    const { router } = await renderMonitor(fleet, '/tasks?status=failed&columns=title,age&range=24h')
    await screen.findByRole('link', { name: 'broken' })
    await click('Views')
    fireEvent.change(screen.getByLabelText('Name of the view'), { target: { value: 'Failed today' } })
    await click('Save this view')
    const address = '/tasks?status=failed&columns=title,age&range=24h'
    await act(() => router.navigate({ to: '/tasks', search: { range: undefined } as object }))
    expect(router.state.location.href).toBe('/tasks')
    fireEvent.click(screen.getByRole('link', { name: 'Failed today' }))
    await waitFor(() => expect(router.state.location.href).toBe(address))
    await act(() => router.navigate({ to: '/queues', search: { range: undefined } as object }))
    fireEvent.keyDown(document.body, { key: 'k', ctrlKey: true })
    fireEvent.click(await within(await dialog()).findByRole('option', { name: 'Failed today' }))
    await waitFor(() => expect(router.state.location.href).toBe(address))
    await click('Views')
    await click('Forget Failed today')
    expect(screen.queryByRole('link', { name: 'Failed today' })).toBeNull()
    expect(localStorage.getItem('taskfleet.views')).toBeNull()
  })
})

describe('the selection', () => {
  it('says of how many each command is possible', async () => {
    put('failed', { title: 'broken' })
    put('running', { title: 'moving' })
    await renderMonitor(fleet, '/tasks')
    await screen.findByRole('link', { name: 'moving' })
    fireEvent.click(screen.getByRole('checkbox', { name: 'Select all rows' }))
    const group = within(await screen.findByRole('group', { name: 'For the selected tasks' }))
    expect(group.getAllByRole('button').map(({ textContent }) => textContent)).toEqual([
      'Cancel1',
      'Pause1',
      'Resume0',
      'Retry1',
      'Replay1',
      'Set priority…0',
    ])
  })
})
