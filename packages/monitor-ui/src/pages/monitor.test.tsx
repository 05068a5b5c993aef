// @vitest-environment happy-dom
import { act, fireEvent, screen, waitFor, within } from '@testing-library/react'
import { beforeEach, describe, expect, it, vi } from 'vitest'
import { FakeFleet } from '../testing/fake-fleet.ts'
import { withoutComplaints, wrongFields } from '../testing/page.ts'
import { renderMonitor } from '../testing/render-monitor.tsx'
import { aTask, aWorker, iso } from '../testing/rows.ts'

let fleet: FakeFleet

beforeEach(() => {
  fleet = new FakeFleet()
  fleet.putWorker(aWorker({ name: 'fra-1' }, Date.now()))
})
withoutComplaints()

const running = (overrides = {}) => aTask.running(overrides, Date.now())
const row = (id: string) => {
  const found = document.querySelector<HTMLElement>(`[data-testid="task-row"][data-task="${id}"]`)
  if (found === null) throw new Error(`no row for ${id}`)
  return found
}
const order = () => screen.getAllByTestId('task-row').map((element) => element.dataset.task)

describe('the fleet board', () => {
  it('shows each host with its slots and its running task live', async () => {
    const task = fleet.put(running({ title: 'big.iso' }))
    await renderMonitor(fleet)
    const card = await screen.findByTestId('worker-card')
    expect(card.dataset).toMatchObject({ worker: 'fra-1', state: 'running' })
    within(card).getByRole('img', { name: '1 of 4 slots in use' })
    await waitFor(() => expect(row(task._id).dataset.source).toBe('live'))
    act(() => fleet.report(task._id, { done: 42.5e6, total: 100e6, unit: 'bytes' }))
    await waitFor(() => expect(within(card).getByRole('progressbar').getAttribute('aria-valuenow')).toBe('42.5'))
    expect(within(card).getByTestId('task-bytes').textContent).toBe('42.5\u00a0MB / 100\u00a0MB')
  })

  it('shows the age of a checkpoint if the socket cannot be reached', async () => {
    const task = fleet.put(running({ progress: { done: 1, total: 2, at: iso(Date.now() - 4_000) } }))
    fleet.unreachable.add(task._id)
    await renderMonitor(fleet)
    await screen.findByText(/^checkpoint ([4-9]|[1-5]\d)\ss old$/)
    expect(row(task._id).dataset.source).toBe('checkpoint')
  })

  it('says that a task is shown as it is stored if its worker does not listen', async () => {
    const task = fleet.put(running({ progress: { done: 1, total: 2, at: iso(Date.now() - 4_000) } }))
    fleet.deaf.add(task._id)
    const { router } = await renderMonitor(fleet)
    await screen.findByText(/^stored ([4-9]|[1-5]\d)\ss ago$/)
    expect(row(task._id).dataset.source).toBe('stored')
    await act(() => router.navigate({ to: '/tasks/$id', params: { id: task._id } }))
    await screen.findByText(/^Its worker does not listen\. Figures come from the database/)
  })

  it('shows a host as silent after three missed heartbeats, by the server’s clock', async () => {
    const hour = 3_600_000
    fleet.clockOffset = hour
    const task = fleet.put(running())
    fleet.unreachable.add(task._id)
    fleet.putWorker(
      aWorker({ name: 'fra-1', heartbeatMs: 2_000, heartbeatAt: iso(Date.now() + hour - 8_000) }, Date.now()),
    )
    await renderMonitor(fleet)
    await waitFor(() => expect(row(task._id).dataset.source).toBe('silent'))
    expect(screen.getByTestId('worker-card').dataset.state).toBe('silent')
    expect(row(task._id).textContent).toMatch(/host silent \d+\u00a0s/)
  })

  it('shows on the page and on each row that the gateway is away', async () => {
    const task = fleet.put(running())
    await renderMonitor(fleet)
    await waitFor(() => expect(row(task._id).dataset.source).toBe('live'))
    act(() => fleet.setState('reconnecting'))
    expect(screen.getByTestId('connection').dataset.state).toBe('reconnecting')
    screen.getByTestId('connection-banner')
    expect(row(task._id).dataset.source).toBe('reconnecting')
    act(() => fleet.setState('live'))
    expect(screen.queryByTestId('connection-banner')).toBeNull()
  })

  it('draws hostile names as text and nothing else', async () => {
    fleet.put(running({ title: '<img src=x onerror=alert(1)>\u202egpj.exe' }))
    fleet.put(
      aTask.failed(
        {
          input: { url: 'javascript:alert(1)' },
          error: { code: '<b>x</b>', name: 'E', message: 'm', fingerprint: 'f' },
        },
        Date.now(),
      ),
    )
    fleet.putWorker(aWorker({ name: '<script>1</script>' }, Date.now()))
    await renderMonitor(fleet)
    await screen.findByText('<img src=x onerror=alert(1)>\\u{202e}gpj.exe')
    await screen.findByText('<b>x</b>')
    expect(document.querySelector('img[src="x"], #root script, b')).toBeNull()
    expect(document.querySelector('a[href^="javascript"]')).toBeNull()
  })

  const figure = (label: string) => {
    const totals = screen.getByText(label, { selector: 'dt' }).nextElementSibling
    return totals?.firstElementChild?.textContent
  }

  it('counts the whole fleet, beyond the limits of its lists, and follows every change', async () => {
    for (let n = 0; n < 250; n++) fleet.put(aTask.pending({}, Date.now()))
    for (let n = 0; n < 130; n++) fleet.put(aTask.failed({}, Date.now()))
    const task = fleet.put(running())
    await fleet.stored()
    await renderMonitor(fleet)
    await waitFor(() =>
      expect(['Running', 'Waiting', 'Failed', 'Ended'].map(figure)).toEqual(['1', '250', '130', '130']),
    )
    act(() => fleet.end(task._id, { status: 'completed' }))
    await waitFor(() =>
      expect(['Running', 'Waiting', 'Failed', 'Ended'].map(figure)).toEqual(['0', '250', '130', '131']),
    )
    expect(figure('Task rate')).toBe('2.2/s')
    expect(fleet.figures.size).toBe(1)
  })

  it('watches only running tasks, and with the log only the one that has its own page', async () => {
    const task = fleet.put(running())
    fleet.put(aTask.pending({}, Date.now()))
    fleet.put(aTask.completed({}, Date.now()))
    const { router } = await renderMonitor(fleet)
    const watched = () => [...fleet.watches].map(({ id, listeners }) => [id, listeners.onLog !== undefined])
    await waitFor(() => expect(watched()).toEqual([[task._id, false]]))
    expect(fleet.watchesOpened).toBe(1)
    await act(() => router.navigate({ to: '/tasks/$id', params: { id: task._id } }))
    await screen.findByRole('button', { name: 'Cancel' })
    await waitFor(() => expect(watched()).toContainEqual([task._id, true]))
  })
})

describe('the task list', () => {
  const at = (secondsAgo: number) => iso(Date.now() - secondsAgo * 1_000)

  it('holds new rows back while the user points at it, and shows them on request', async () => {
    const older = fleet.put(aTask.pending({ createdAt: at(200) }))
    const old = fleet.put(aTask.pending({ createdAt: at(100) }))
    await renderMonitor(fleet, '/tasks')
    await waitFor(() => expect(order()).toEqual([old._id, older._id]))
    const list = row(old._id)
    fireEvent.pointerOver(list, { pointerType: 'mouse' })
    fireEvent.pointerEnter(list.closest('[class*="overflow-auto"]') ?? list, { pointerType: 'mouse' })
    act(() => {
      fleet.put(aTask.pending({ _id: 'a'.repeat(24), createdAt: at(1) }))
      fleet.patch(older._id, { status: 'failed', error: { code: 'X', name: 'E', message: 'broken', fingerprint: 'f' } })
      fleet.remove(old._id)
    })
    const pill = await screen.findByRole('button', { name: '1 new' })
    expect(order()).toEqual([old._id, older._id])
    expect(row(older._id).dataset.status).toBe('failed')
    expect(row(old._id).dataset.gone).toBe('true')
    fireEvent.click(pill)
    await waitFor(() => expect(order()).toEqual(['a'.repeat(24), older._id]))
    expect(screen.queryByTestId('new-rows')).toBeNull()
  })

  it('applies held rows as soon as the pointer leaves', async () => {
    const old = fleet.put(aTask.pending({ createdAt: at(100) }))
    await renderMonitor(fleet, '/tasks')
    await waitFor(() => row(old._id))
    const area = row(old._id).closest('[class*="overflow-auto"]')
    if (area === null) throw new Error('no scroller')
    fireEvent.pointerEnter(area, { pointerType: 'mouse' })
    act(() => void fleet.put(aTask.pending({ _id: 'b'.repeat(24), createdAt: at(1) })))
    await screen.findByTestId('new-rows')
    fireEvent.pointerLeave(area, { pointerType: 'mouse' })
    await waitFor(() => expect(order()).toEqual(['b'.repeat(24), old._id]))
  })

  it('takes its filters from the address and writes them there', async () => {
    const failed = fleet.put(aTask.failed({}, Date.now()))
    const run = fleet.put(running())
    fleet.put(aTask.completed({}, Date.now()))
    const { router } = await renderMonitor(fleet, '/tasks?status=failed')
    await waitFor(() => expect(order()).toEqual([failed._id]))
    fireEvent.click(screen.getByRole('button', { name: 'Running' }))
    await waitFor(() => expect(order().sort()).toEqual([failed._id, run._id].sort()))
    expect(router.state.location.href).toBe('/tasks?status=running,failed')
    fireEvent.change(screen.getByRole('combobox', { name: 'Search text' }), { target: { value: 'file-zzz' } })
    await screen.findByText('No task matches')
    expect(router.state.location.href).toBe('/tasks?status=running,failed&q=file-zzz')
  })

  const counted = () =>
    Object.fromEntries(
      screen.getAllByTestId('status-count').map(({ dataset, textContent }) => [dataset.status, textContent] as const),
    )

  it('counts each status within the other filters, if that is cheap', async () => {
    fleet.put(aTask.failed({}, Date.now()))
    fleet.put(aTask.failed({ queue: 'bulk' }, Date.now()))
    fleet.put(running({ queue: 'bulk', name: 'report' }))
    const { router } = await renderMonitor(fleet, '/tasks?status=failed')
    await waitFor(() => expect(counted()).toMatchObject({ failed: '2', running: '1', pending: '0' }))
    expect(screen.getByRole('button', { name: 'Failed' }).title).toBe('2 failed')
    await act(() => router.navigate({ to: '/tasks', search: { queue: 'bulk' } }))
    await waitFor(() => expect(counted()).toMatchObject({ failed: '1', running: '1' }))
    expect(fleet.figures.size).toBe(1)
    await act(() => router.navigate({ to: '/tasks', search: { queue: 'bulk', name: 'report' } }))
    await waitFor(() => expect(counted()).toMatchObject({ failed: '0', running: '1' }))
    await act(() => router.navigate({ to: '/tasks', search: { q: 'iso' } }))
    await waitFor(() => expect(screen.queryAllByTestId('status-count')).toEqual([]))
  })

  it('finds tasks that are at risk of missing their deadline or have missed it', async () => {
    const from = (ms: number) => iso(Date.now() + ms)
    const hour = 3_600_000
    const raised = fleet.put(
      aTask.pending({ deadline: from(hour), raiseAt: from(hour), priority: 8, createdAt: from(-3_000) }),
    )
    const missed = fleet.put(
      aTask.failed({ deadline: from(-hour), deadlineMissedAt: from(-hour), createdAt: from(-2_000) }, Date.now()),
    )
    const soon = fleet.put(aTask.pending({ deadline: from(30_000), createdAt: from(-1) }))
    fleet.put(aTask.pending({ deadline: from(hour), raiseAt: from(hour / 2) }))
    fleet.put(aTask.pending({ deadline: from(hour), priority: 9, basePriority: 9 }))
    fleet.put(aTask.completed({ deadline: from(-hour) }, Date.now()))
    const { router } = await renderMonitor(fleet, '/tasks')
    await waitFor(() => expect(order()).toHaveLength(6))
    const quick = screen.getByRole('button', { name: 'At risk / missed deadline' })
    fireEvent.click(quick)
    await waitFor(() => expect(order()).toEqual([soon._id, missed._id, raised._id]))
    expect(router.state.location.href).toBe('/tasks?deadline=risk')
    expect(quick.getAttribute('aria-pressed')).toBe('true')
    fireEvent.click(quick)
    await waitFor(() => expect(order()).toHaveLength(6))
  })

  it('names the host of a running task and its attempts', async () => {
    const task = fleet.put(running({ attempt: 3, lost: 1, host: 'fra-1' }))
    await renderMonitor(fleet, '/tasks')
    await waitFor(() => expect(row(task._id).textContent).toContain('fra-1'))
    expect(row(task._id).textContent).toContain('3 / 5')
    expect(row(task._id).textContent).toContain('1 lost')
  })

  it('names the host of an ended task, says when it ended, and finds it by its host', async () => {
    const task = fleet.put(aTask.completed({ host: 'gone-1' }, Date.now()))
    fleet.put(aTask.completed({ host: 'gone-2' }, Date.now()))
    await renderMonitor(fleet, '/tasks?host=gone-1')
    await waitFor(() => expect(order()).toEqual([task._id]))
    expect(row(task._id).textContent).toContain('gone-1')
    expect(row(task._id).textContent).toMatch(/ended \d+\ss ago/)
  })

  it('cancels from the row, with a reason', async () => {
    const task = fleet.put(running({ title: 'big.iso' }))
    await renderMonitor(fleet, '/tasks')
    await waitFor(() => row(task._id))
    fireEvent.click(screen.getByRole('button', { name: 'Cancel big.iso' }))
    const dialog = await screen.findByRole('dialog')
    fireEvent.change(within(dialog).getByLabelText('Reason (optional)'), { target: { value: 'wrong file' } })
    fireEvent.click(within(dialog).getByRole('button', { name: 'Stop it' }))
    await waitFor(() => expect(row(task._id).dataset.status).toBe('cancelled'))
    expect(fleet.sent('tasks.cancel')).toEqual([{ id: task._id, reason: 'wrong file' }])
    await screen.findByText('Requested to cancel big.iso')
  })
})

describe('a task’s page', () => {
  it('shows progress, log, attempts, input and how it is connected', async () => {
    const task = fleet.put(running({ title: 'big.iso', input: { url: 'javascript:alert(1)' } }))
    fleet.log(task._id, 'warn', 'slow \u202emirror')
    await renderMonitor(fleet, `/tasks/${task._id}`)
    await screen.findByRole('heading', { level: 1, name: 'big.iso' })
    await screen.findByText('slow \\u{202e}mirror')
    await screen.findByText('Directly to its host.')
    expect(screen.getAllByTestId('attempt')).toHaveLength(1)
    expect(screen.getByTestId('attempt').textContent).toContain('host-a')
    expect(document.querySelector('a[href^="javascript"]')).toBeNull()
    expect(screen.getByTestId('task-page').dataset).toMatchObject({ status: 'running', source: 'live' })
  })

  it('cancels after a confirmation, and shows an error in the dialog', async () => {
    const task = fleet.put(running())
    await renderMonitor(fleet, `/tasks/${task._id}`)
    fireEvent.click(await screen.findByRole('button', { name: 'Cancel' }))
    fleet.refuseNext = { code: 'FORBIDDEN', message: 'This key may not control tasks.' }
    fireEvent.click(screen.getByRole('button', { name: 'Stop it' }))
    expect((await within(screen.getByRole('dialog')).findByRole('alert')).textContent).toBe(
      'This key may not control tasks.',
    )
    fireEvent.click(screen.getByRole('button', { name: 'Stop it' }))
    await waitFor(() => expect(screen.getByTestId('task-page').dataset.status).toBe('cancelled'))
    expect(screen.queryByRole('button', { name: 'Cancel' })).toBeNull()
  })

  it('shows an error with its stack, as text', async () => {
    const task = fleet.put(
      aTask.failed(
        {
          error: {
            code: 'E1',
            name: 'Error',
            message: '<script>x</script>',
            fingerprint: 'f',
            stack: 'Error\n    at x',
          },
        },
        Date.now(),
      ),
    )
    await renderMonitor(fleet, `/tasks/${task._id}`)
    const error = await screen.findByRole('region', { name: 'Error' })
    expect(error.textContent).toContain('<script>x</script>')
    expect(within(error).getByLabelText('Stack').textContent).toContain('at x')
  })

  it('reports a missing task', async () => {
    await renderMonitor(fleet, `/tasks/${'f'.repeat(24)}`)
    await screen.findByText('This task does not exist')
  })
})

describe('the form for a new task', () => {
  const SCHEMA = {
    type: 'object',
    properties: {
      url: { type: 'string', pattern: '^https?://', description: 'Where the file is' },
      file: { type: 'string', maxLength: 255 },
      parts: { type: 'integer', minimum: 1, maximum: 16 },
    },
    required: ['url'],
    additionalProperties: false,
  }
  const handler = { version: 2, queues: ['default', 'night'], workers: ['fra-1'] }
  beforeEach(() => {
    const handlers = [
      { ...handler, name: 'fetch', schema: SCHEMA },
      { ...handler, name: 'tidy' },
      { ...handler, name: 'odd', schema: { type: 'nonsense' } },
    ]
    vi.spyOn(fleet.handlers, 'list').mockResolvedValue(handlers)
  })
  const open = async (as?: string) => {
    await renderMonitor(fleet)
    fireEvent.keyDown(document.body, { key: 'n' })
    const dialog = await screen.findByRole('dialog')
    if (as !== undefined) type(dialog, 'Handler', as)
    return dialog
  }
  const type = (dialog: HTMLElement, label: string, value: string) =>
    fireEvent.change(within(dialog).getByLabelText(label), { target: { value } })
  const send = (dialog: HTMLElement) => fireEvent.click(within(dialog).getByRole('button', { name: 'Enqueue' }))

  it('has the fields of the handler’s published schema, and checks them before anything is sent', async () => {
    const dialog = await open()
    within(dialog).getByText('Where the file is')
    type(dialog, 'Url', 'example.org/a.iso')
    type(dialog, 'Parts', '99')
    send(dialog)
    expect(await wrongFields(dialog)).toEqual(['input.url', 'input.parts'])
    expect(within(dialog).getByLabelText('Url').getAttribute('aria-invalid')).toBe('true')
    expect(fleet.sent('tasks.enqueue')).toEqual([])
  })

  it('enqueues and leads to the task', async () => {
    const dialog = await open()
    type(dialog, 'Url', 'https://example.org/a.iso')
    type(dialog, 'Parts', '4')
    fireEvent.change(within(dialog).getByLabelText('Priority'), { target: { value: '8' } })
    send(dialog)
    const toast = await screen.findByTestId('toast')
    expect(toast.textContent).toContain('Queued fetch')
    expect(fleet.sent('tasks.enqueue')).toMatchObject([
      { name: 'fetch', version: 2, input: { url: 'https://example.org/a.iso', parts: 4 }, priority: 8 },
    ])
    expect(within(toast).getByRole('link').getAttribute('href')).toBe(`/tasks/${fleet.sent('tasks.enqueue')[0]?._id}`)
    expect(screen.queryByRole('dialog')).toBeNull()
  })

  it('shows the server’s objection at its field, and sends the same id again', async () => {
    const dialog = await open()
    type(dialog, 'Url', 'https://10.0.0.1/a.iso')
    fleet.refuseNext = { code: 'INPUT_INVALID', message: 'Private addresses are not allowed.', field: 'input.url' }
    send(dialog)
    const alert = await within(dialog).findByRole('alert')
    expect(alert.dataset.fieldError).toBe('input.url')
    expect(alert.textContent).toBe('Private addresses are not allowed.')
    send(dialog)
    await screen.findByTestId('toast')
    expect(fleet.sent('tasks.enqueue')).toHaveLength(2)
    expect(fleet.sent('tasks.enqueue')[0]?._id).toBe(fleet.sent('tasks.enqueue')[1]?._id)
  })

  it.each(['tidy', 'odd'])(
    'takes the input of a handler without a schema that it can show as JSON: %s',
    async (name) => {
      const dialog = await open(`${name}@2`)
      expect(within(dialog).queryByLabelText('Name')).toBeNull()
      type(dialog, 'Input (JSON)', '{ "month": 3 }')
      send(dialog)
      await screen.findByTestId('toast')
      expect(fleet.sent('tasks.enqueue')).toMatchObject([{ name, version: 2, input: { month: 3 } }])
    },
  )

  it('takes any other task as JSON', async () => {
    const dialog = await open('')
    type(dialog, 'Name', 'report')
    type(dialog, 'Input (JSON)', '{ "month": 3 }')
    fleet.refuseNext = { code: 'NO_HANDLER', message: 'Nobody runs report@1.' }
    send(dialog)
    expect((await within(dialog).findByRole('alert')).textContent).toBe('Nobody runs report@1.')
    send(dialog)
    await screen.findByTestId('toast')
    expect(fleet.sent('tasks.enqueue')[1]).toMatchObject({ name: 'report', input: { month: 3 } })
  })
})

describe('keys and the key', () => {
  it('moves by keyboard and leaves typing alone', async () => {
    const b = fleet.put(aTask.pending({ createdAt: iso(Date.now() - 2_000) }))
    const a = fleet.put(aTask.pending({ createdAt: iso(Date.now() - 1_000) }))
    const { router } = await renderMonitor(fleet)
    const press = (key: string, target: Element = document.body) => fireEvent.keyDown(target, { key })
    press('g')
    press('t')
    await waitFor(() => expect(router.state.location.pathname).toBe('/tasks'))
    await waitFor(() => row(b._id))
    press('j')
    expect(document.activeElement?.closest('[data-task]')).toBe(row(a._id))
    press('j', document.activeElement ?? document.body)
    expect(document.activeElement?.closest('[data-task]')).toBe(row(b._id))
    press('k', document.activeElement ?? document.body)
    expect(document.activeElement?.closest('[data-task]')).toBe(row(a._id))
    press('/')
    const search = screen.getByRole('combobox', { name: 'Search text' })
    await waitFor(() => expect(document.activeElement).toBe(search))
    press('n', search)
    expect(screen.queryByRole('dialog')).toBeNull()
    press('Escape', search)
    for (const [key, path] of [
      ['e', '/errors'],
      ['l', '/handlers'],
      ['q', '/queues'],
      ['h', '/hosts'],
      ['a', '/history'],
    ] as const) {
      press('g')
      press(key)
      await waitFor(() => expect(router.state.location.pathname).toBe(path))
    }
    press('?')
    await screen.findByRole('dialog', { name: 'Keyboard shortcuts' })
  })

  it('asks for a key when the one it has is refused', async () => {
    const { connected, kept } = await renderMonitor(fleet)
    act(() => fleet.setState('refused', { code: 'UNAUTHENTICATED', message: 'The key is not known.' }))
    fireEvent.change(await screen.findByLabelText('Key'), { target: { value: ' tf_other ' } })
    expect(screen.getByRole('alert').textContent).toBe('The key is not known.')
    fleet.state = 'live'
    fireEvent.click(screen.getByRole('button', { name: 'Connect' }))
    await waitFor(() => expect(connected).toEqual(['tf_test', 'tf_other']))
    expect(kept).toEqual(['tf_other'])
  })
})
