// @vitest-environment happy-dom
import type { TaskRow } from '@taskfleet/protocol'
import { act, fireEvent, screen, waitFor, within } from '@testing-library/react'
import { beforeEach, describe, expect, it, vi } from 'vitest'
import { FakeFleet } from '../testing/fake-fleet.ts'
import { click, dialog, toast, undo, withoutComplaints } from '../testing/page.ts'
import { renderMonitor } from '../testing/render-monitor.tsx'
import { anError, aTask, aWorker, iso } from '../testing/rows.ts'

let fleet: FakeFleet

beforeEach(() => {
  fleet = new FakeFleet()
  fleet.putWorker(aWorker({ name: 'fra-1' }, Date.now()))
})
withoutComplaints()

const MINUTE = 60_000
const from = (ms: number) => iso(Date.now() + ms)
const put = (make: (overrides?: Partial<TaskRow>, now?: number) => TaskRow, overrides: Partial<TaskRow> = {}) =>
  fleet.put(make(overrides, Date.now()))
const status = () => screen.getByTestId('task-page').dataset.status
const actions = () =>
  within(screen.getByRole('group', { name: 'Actions' }))
    .getAllByRole('button')
    .map((one) => one.textContent?.trim())
const openTask = async (task: TaskRow) => {
  const opened = await renderMonitor(fleet, `/tasks/${task._id}`)
  await screen.findByTestId('task-page')
  return opened
}

describe('the commands on a task', () => {
  it('is offered by its status', async () => {
    const task = put(aTask.pending)
    await openTask(task)
    expect(actions()).toEqual(['Pause', 'Edit…', 'Cancel'])
    act(() => void fleet.patch(task._id, { status: 'running', worker: 'w1' }))
    await waitFor(() => expect(actions()).toEqual(['Pause', 'Cancel']))
    act(() => fleet.end(task._id, { status: 'failed' }))
    await waitFor(() => expect(actions()).toEqual(['Retry', 'Replay…']))
    act(() => void fleet.patch(task._id, { status: 'completed' }))
    await waitFor(() => expect(actions()).toEqual(['Replay…']))
  })

  it('are offered only to a key with control', async () => {
    fleet.welcome = { ...fleet.welcome, scopes: ['read', 'write'] }
    const task = put(aTask.running, { title: 'big.iso' })
    const { router } = await openTask(task)
    expect(screen.queryByRole('group', { name: 'Actions' })).toBeNull()
    await act(() => router.navigate({ to: '/tasks' }))
    await screen.findByText('big.iso')
    expect(screen.queryByRole('checkbox')).toBeNull()
    expect(screen.queryByRole('button', { name: 'Cancel big.iso' })).toBeNull()
    await act(() => router.navigate({ to: '/' }))
    await screen.findByTestId('worker-card')
    expect(screen.queryByRole('button', { name: 'Drain fra-1' })).toBeNull()
  })

  it('pauses and resumes a running task', async () => {
    const task = put(aTask.running, { title: 'big.iso' })
    fleet.obeyed = false
    await openTask(task)
    await click('Pause')
    await toast('Requested to pause big.iso')
    await click('Resume')
    await toast('Resumed big.iso')
    expect(status()).toBe('running')
    await undo('Resumed big.iso')
    await waitFor(() => expect(fleet.rows.tasks.get(task._id)?.control?.action).toBe('pause'))
    await click('Resume')
    await waitFor(() => expect(fleet.rows.tasks.get(task._id)?.control).toBeUndefined())
    await click('Pause')
    await waitFor(() => expect(fleet.rows.tasks.get(task._id)?.control?.action).toBe('pause'))
    act(() => fleet.suspend(task._id))
    await click('Resume')
    await waitFor(() => expect(status()).toBe('pending'))
  })

  it('retries a failed one, and shows the reason of a refusal', async () => {
    const task = put(aTask.failed, { title: 'big.iso' })
    await openTask(task)
    fleet.refuseNext = { code: 'KEY_EXISTS', message: 'Another task with its key has come in its place' }
    await click('Retry')
    await toast('big.iso: Another task with its key has come in its place')
    await click('Retry')
    await waitFor(() => expect(status()).toBe('pending'))
  })

  it('replays with edited input and goes to the new task', async () => {
    const task = put(aTask.completed, { input: { file: 'a\u202eb.iso' } })
    const { router } = await openTask(task)
    await click('Replay…')
    const input = within(await dialog()).getByLabelText<HTMLTextAreaElement>('Input (JSON)')
    expect(input.value).toContain('a\\u202eb.iso')
    fireEvent.change(input, { target: { value: '{ "file": ' } })
    await click('Replay')
    expect((await within(await dialog()).findByRole('alert')).textContent).toContain('Not JSON')
    expect(fleet.written).toEqual([])
    fireEvent.change(input, { target: { value: '{ "file": "c.iso" }' } })
    await click('Replay')
    const made = () => [...fleet.rows.tasks.values()].find(({ replayOf }) => replayOf === task._id)
    await waitFor(() => expect(router.state.location.pathname).toBe(`/tasks/${made()?._id}`))
    expect(made()?.input).toEqual({ file: 'c.iso' })
    const original = await screen.findByRole('link', { name: task._id })
    expect(original.getAttribute('href')).toBe(`/tasks/${task._id}`)
  })

  it('replays with the same input without sending it', async () => {
    const task = put(aTask.failed)
    await openTask(task)
    await click('Replay…')
    fireEvent.click(within(await dialog()).getByRole('button', { name: 'Replay' }))
    await waitFor(() => expect(fleet.written).toEqual([['tasks.replay', { id: task._id }]]))
  })

  it('edits only the changes, at the known revision', async () => {
    const task = put(aTask.pending, { rev: 7, deadline: from(MINUTE) })
    await openTask(task)
    await click('Edit…')
    const form = within(await dialog())
    fireEvent.change(form.getByLabelText('Priority'), { target: { value: '9' } })
    fireEvent.change(form.getByLabelText('Deadline'), { target: { value: '' } })
    fireEvent.change(form.getByLabelText('Queue'), { target: { value: ' ' } })
    fireEvent.click(form.getByRole('button', { name: 'Save' }))
    expect((await form.findByRole('alert')).textContent).toBe('Required')
    fireEvent.change(form.getByLabelText('Queue'), { target: { value: 'bulk' } })
    fireEvent.click(form.getByLabelText('Lazy'))
    fireEvent.click(form.getByRole('button', { name: 'Save' }))
    await waitFor(() => expect(screen.queryByRole('dialog')).toBeNull())
    expect(fleet.written).toEqual([
      ['tasks.edit', { id: task._id, rev: 7, changes: { priority: 9, deadline: null, queue: 'bulk', lazy: true } }],
    ])
    expect(fleet.rows.tasks.get(task._id)).toMatchObject({ priority: 9, queue: 'bulk', lazy: true })
    expect(fleet.rows.tasks.get(task._id)).not.toHaveProperty('deadline')
  })

  it('shows what has changed meanwhile, and keeps both edits', async () => {
    const task = put(aTask.pending)
    await openTask(task)
    await click('Edit…')
    const form = within(await dialog())
    fireEvent.change(form.getByLabelText('Queue'), { target: { value: 'bulk' } })
    act(() => void fleet.patch(task._id, { priority: 9, basePriority: 9 }))
    fireEvent.click(form.getByRole('button', { name: 'Save' }))
    await form.findByText('Changed meanwhile: Priority. Edited here: Queue.')
    expect(fleet.rows.tasks.get(task._id)?.queue).toBe('default')
    fireEvent.click(form.getByRole('button', { name: 'Keep my edits' }))
    expect(form.getByLabelText<HTMLSelectElement>('Priority').value).toBe('9')
    fireEvent.click(form.getByRole('button', { name: 'Save' }))
    await waitFor(() => expect(fleet.rows.tasks.get(task._id)).toMatchObject({ queue: 'bulk', priority: 9 }))
  })
})

describe('a task’s page', () => {
  it('shows why it waits, with links to the reasons, and loads again when its row changes', async () => {
    const before = put(aTask.running)
    const task = put(aTask.blocked, { after: before._id })
    await openTask(task)
    const why = within(await screen.findByTestId('why'))
    await why.findByText('It waits for another task')
    expect(why.getByRole('link', { name: 'Open the task it waits for' }).getAttribute('href')).toBe(
      `/tasks/${before._id}`,
    )
    const asked = () => fleet.read.filter((name) => name === 'tasks.explain').length
    const askedBefore = asked()
    act(() => {
      fleet.putQueue({ _id: 'bulk', paused: true, by: 'ops', reason: '<b>x</b>', updatedAt: from(0), rev: 1 })
      fleet.patch(task._id, { status: 'pending', queue: 'bulk' })
    })
    await why.findByText('Its queue is paused')
    expect(why.getByText(/paused by ops: <b>x<\/b>/).querySelector('b')).toBeNull()
    expect(asked()).toBe(askedBefore + 1)
    act(() => void fleet.tasks.cancel({ id: task._id }))
    await waitFor(() => expect(screen.queryByTestId('why')).toBeNull())
  })

  it('leads to every task that it waits for, and to those that wait for it', async () => {
    const [first, second] = [put(aTask.running), put(aTask.failed)]
    const task = put(aTask.blocked, { after: [first._id, second._id, 'f'.repeat(24)], ifFailed: 'wait' })
    const next = put(aTask.blocked, { after: task._id })
    await openTask(task)
    const before = within(await screen.findByTestId('predecessors'))
    const links = (list: typeof before) => list.getAllByRole('link').map((link) => link.getAttribute('href'))
    expect(links(before)).toEqual([first._id, second._id, 'f'.repeat(24)].map((id) => `/tasks/${id}`))
    await before.findByText('Failed')
    before.getByText('removed')
    before.getByText('If one fails, this task waits for its retry.')
    expect(links(within(await screen.findByTestId('dependants')))).toEqual([`/tasks/${next._id}`])
    const why = within(await screen.findByTestId('why'))
    expect(await why.findAllByRole('link', { name: 'Open the task it waits for' })).toHaveLength(3)
  })

  it('shows stored lines of every attempt, earlier ones on request, and the live tail once', async () => {
    const task = put(aTask.running, { attempt: 2 })
    const line = (attempt: number, seq: number) => ({
      attempt,
      seq,
      at: iso(1_000_000 * attempt + seq),
      level: 'info' as const,
      message: `line ${attempt}.${seq}`,
    })
    fleet.store(task._id, ...Array.from({ length: 250 }, (_, index) => line(1, index + 1)))
    fleet.log(task._id, 'info', 'live one')
    await openTask(task)
    await screen.findByText('line 1.250')
    screen.getByText('Attempt 2')
    expect(screen.getAllByText('live one')).toHaveLength(1)
    expect(screen.queryByText('line 1.1')).toBeNull()
    await click('Load earlier lines')
    await screen.findByText('line 1.1')
    await waitFor(() => expect(screen.queryByRole('button', { name: 'Load earlier lines' })).toBeNull())
    act(() => fleet.log(task._id, 'warn', 'live two'))
    await screen.findByText('live two')
  })

  it('loads earlier lines also if the newest are read again meanwhile', async () => {
    const task = put(aTask.running, { attempt: 1 })
    const line = (seq: number) => ({ attempt: 1, seq, at: iso(seq), level: 'info' as const, message: `line ${seq}` })
    fleet.store(task._id, ...Array.from({ length: 250 }, (_, index) => line(index + 1)))
    const read = fleet.tasks.log.bind(fleet.tasks)
    let answer = (): void => undefined
    const mayAnswer = new Promise<void>((resolve) => {
      answer = resolve
    })
    const newest = vi.fn()
    vi.spyOn(fleet.tasks, 'log').mockImplementation(async (request) => {
      const { before } = request as { before?: unknown }
      const found = await read(request as never)
      if (before === undefined) newest()
      else await mayAnswer
      return found
    })
    await openTask(task)
    await screen.findByText('line 250')
    await click('Load earlier lines')
    const readings = newest.mock.calls.length
    act(() => void fleet.patch(task._id, { status: 'paused' }))
    await waitFor(() => expect(newest.mock.calls.length).toBeGreaterThan(readings))
    answer()
    await screen.findByText('line 1')
    expect(screen.queryByRole('button', { name: 'Load earlier lines' })).toBeNull()
  })

  it('shows the log of an ended task', async () => {
    const task = put(aTask.failed)
    fleet.log(task._id, 'error', 'the disk is full')
    await openTask(task)
    await screen.findByText('the disk is full')
  })

  it('shows whether the host of a lost attempt came back', async () => {
    const at = iso(Date.now() - 60_000)
    const lost = { worker: 'w1', claimedAt: at, endedAt: at, outcome: 'lost' } as const
    const task = put(aTask.running, {
      attempt: 3,
      attempts: [
        { ...lost, n: 1 },
        { ...lost, n: 2, survived: true },
        { n: 3, worker: 'w1', claimedAt: at },
      ],
    })
    await renderMonitor(fleet, `/tasks/${task._id}`)
    await screen.findAllByTestId('attempt')
    const [, second, first] = screen.getAllByTestId('attempt')
    expect(second?.textContent).toMatch(/· lost · its host came back: it had kept running/)
    expect(first?.textContent).toMatch(/· lost(?! ·)/)
  })

  it('lists attempts with their host, duration and error', async () => {
    const error = { code: 'HTTP_503', name: 'E', message: 'busy', fingerprint: 'f', stack: 'E: busy\n    at here' }
    const task = put(aTask.running, {
      attempt: 2,
      attempts: [
        { n: 1, worker: 'gone', claimedAt: from(-3 * MINUTE), endedAt: from(-2 * MINUTE), outcome: 'failed', error },
        { n: 2, worker: 'w1', claimedAt: from(-MINUTE) },
      ],
    })
    await openTask(task)
    await waitFor(() => expect(screen.getAllByTestId('attempt')[0]?.textContent).toContain('fra-1 127.0.0.2'))
    const [, first] = screen.getAllByTestId('attempt')
    expect(first?.textContent).toContain('1\u00a0m\u00a000\u00a0s')
    const failure = within(screen.getByTestId('attempt-error'))
    failure.getByText('HTTP_503')
    expect(failure.getByText('Stack').closest('details')?.open).toBe(false)
    expect(failure.getByLabelText('Stack').textContent).toContain('at here')
  })

  it('shows who did what', async () => {
    const task = put(aTask.pending)
    await openTask(task)
    await screen.findByText('Enqueued')
    await act(() => fleet.tasks.pause({ id: task._id, reason: 'the mirror moves' }))
    expect((await screen.findByTestId('audit-entry')).textContent).toMatch(/^local paused: the mirror moves/)
  })

  it('counts down to a deadline, and shows when it is at risk or missed', async () => {
    const task = put(aTask.pending, { deadline: from(10 * MINUTE), raiseAt: from(9 * MINUTE) })
    await openTask(task)
    const deadline = () => screen.getByTestId('deadline')
    expect(deadline().dataset.state).toBe('ahead')
    expect(deadline().textContent).toMatch(/^in (10\sm\s00\ss|9\sm\s\d\d\ss)$/)
    act(() => void fleet.patch(task._id, { priority: 8, raiseAt: from(10 * MINUTE) }))
    await waitFor(() => expect(deadline().dataset.state).toBe('at-risk'))
    act(() => void fleet.patch(task._id, { deadline: from(-MINUTE), deadlineMissedAt: from(-MINUTE) }))
    await waitFor(() => expect(deadline().textContent).toMatch(/^missed by 1\sm\s\d\d\ss$/))
  })
})

// A thousand rows cost a page of this kind ten seconds of computing.
describe('many tasks at once', { timeout: 180_000 }, () => {
  const box = (name: string) => screen.findByRole('checkbox', { name: `Select ${name}` })
  /** The newest first, as in the list. */
  const three = () => [3, 2, 1].map((n) => put(aTask.failed, { title: `f${n}`, createdAt: from(-n * 1_000) })).reverse()

  it('selects a range with Shift, counts, runs the command and reports it', async () => {
    const tasks = three()
    await renderMonitor(fleet, '/tasks')
    fireEvent.click(await box('f1'))
    fireEvent.click(await box('f3'), { shiftKey: true })
    screen.getByText('3 selected')
    await click('Retry')
    const asked = within(await dialog())
    await asked.findByText('3 tasks')
    const ids = tasks.map(({ _id }) => _id)
    expect(fleet.written).toEqual([['tasks.retry', { ids, dryRun: true }]])
    fireEvent.click(asked.getByRole('button', { name: 'Retry 3 tasks' }))
    await toast('3 tasks retried')
    expect(fleet.written[1]).toEqual(['tasks.retry', { ids }])
    expect(screen.queryByText('3 selected')).toBeNull()
  })

  it('leaves out tasks that the command can’t change, and reports it', async () => {
    put(aTask.failed, { title: 'broken' })
    put(aTask.running, { title: 'moving' })
    await renderMonitor(fleet, '/tasks')
    await box('moving')
    fireEvent.click(screen.getByRole('checkbox', { name: 'Select all rows' }))
    await click('Cancel')
    const asked = within(await dialog())
    fireEvent.change(asked.getByLabelText('Reason (optional)'), { target: { value: 'not needed' } })
    await asked.findByText('These can’t be cancelled and are left out: 1 failed.')
    fireEvent.click(await asked.findByRole('button', { name: 'Cancel 1 task' }))
    await toast('1 task cancelled')
    expect(fleet.written.at(-1)).toMatchObject(['tasks.cancel', { reason: 'not needed' }])
  })

  it('changes all tasks matching the filter, which the gateway counts', async () => {
    three()
    put(aTask.pending)
    await renderMonitor(fleet, '/tasks?status=failed')
    fireEvent.click(await box('f2'))
    await click('Select all matching tasks')
    screen.getByText('All 3 matching tasks are selected')
    await click('Replay')
    fireEvent.click(await within(await dialog()).findByRole('button', { name: 'Replay 3 tasks' }))
    await toast('3 tasks replayed')
    expect(fleet.written).toEqual([
      ['tasks.replay', { filter: { status: 'failed' }, dryRun: true }],
      ['tasks.replay', { filter: { status: 'failed' } }],
    ])
  })

  it('becomes an operation above 100 tasks, with its progress, its result and an undo', async () => {
    for (let n = 0; n < 130; n += 1) put(aTask.pending)
    await fleet.stored()
    const { router } = await renderMonitor(fleet, '/tasks?status=pending')
    await screen.findByText('130 tasks')
    fireEvent.click(screen.getByRole('checkbox', { name: 'Select all rows' }))
    await click('Select all matching tasks')
    await click('Pause')
    const asked = within(await dialog())
    const number = await asked.findByLabelText('To confirm, type the number of tasks: 130')
    const pause = asked.getByRole<HTMLButtonElement>('button', { name: 'Pause 130 tasks' })
    for (const wrong of ['', '13', '1300', 'all']) {
      fireEvent.change(number, { target: { value: wrong } })
      expect(pause.disabled).toBe(true)
    }
    // Enter in the field sends nothing either.
    fireEvent.submit(pause.form!)
    fireEvent.change(number, { target: { value: ' 130 ' } })
    expect(fleet.sent('bulk.start')).toEqual([])
    fireEvent.click(pause)
    await toast('Started: Pause 130 tasks')
    const [bulk] = await fleet.bulk.list()
    expect(router.state.location.pathname).toBe(`/operations/${bulk?._id}`)
    await screen.findByRole('heading', { name: 'Pause 130 tasks' })
    await screen.findByText('0 of 130 done')
    expect(screen.queryByRole('button', { name: /Undo/ })).toBeNull()
    screen.getByRole('button', { name: 'Stop' })
    await act(() => fleet.carryOut())
    await screen.findByText(/130 of 130 done in/)
    screen.getByText('Completed')
    await click('Undo: resume 130 tasks')
    await toast('Started: Resume 130 tasks')
    await screen.findByRole('link', { name: 'an earlier operation' })
    await click('Stop')
    await screen.findByText('Stopping')
    await act(() => fleet.carryOut())
    await screen.findByText('Stopped')
    fireEvent.click(screen.getByRole('link', { name: 'All operations' }))
    const rows = await screen.findByRole('table', { name: 'Operations' })
    expect(
      within(rows)
        .getAllByRole('link')
        .map(({ textContent }) => textContent),
    ).toEqual(['Resume 130 tasks', 'Pause 130 tasks'])
  })

  it('says why an operation refused tasks, and links to them', async () => {
    const tasks = Array.from({ length: 3 }, () => put(aTask.pending))
    const bulk = await fleet.bulk.start({ command: 'cancel', ids: tasks.map(({ _id }) => _id), reason: '<b>wrong</b>' })
    fleet.patch(tasks[1]!._id, { status: 'completed' })
    await fleet.carryOut()
    await renderMonitor(fleet, `/operations/${bulk._id}`)
    const refusal = await screen.findByTestId('refusal')
    expect(refusal.textContent).toContain('1× ALREADY_ENDED It has completed')
    expect(within(refusal).getByRole('link').getAttribute('href')).toBe(`/tasks/${tasks[1]!._id}`)
    screen.getByText('<b>wrong</b>')
    expect(screen.queryByRole('button', { name: /Undo|Stop/ })).toBeNull()
  })

  it('is carried out at once by a gateway without operations', async () => {
    for (let n = 0; n < 1_001; n += 1) put(aTask.pending)
    fleet.refused.set('bulk.start', { code: 'UNKNOWN_OPERATION', message: 'There is no such operation' })
    await fleet.stored()
    await renderMonitor(fleet, '/tasks?status=pending')
    await screen.findByText(/\d+\+? tasks$/)
    fireEvent.click(screen.getByRole('checkbox', { name: 'Select all rows' }))
    await click(/^Select all (matching tasks|tasks matching the filter)$/)
    await click('Pause')
    const asked = within(await dialog())
    // As it is shown, with its separator.
    fireEvent.change(await asked.findByLabelText(/type the number of tasks: 1,001$/), { target: { value: '1,001' } })
    fireEvent.click(asked.getByRole('button', { name: 'Pause 1,001 tasks' }))
    await toast('1,001 tasks paused')
  })

  it('lists the refused tasks, by reason', async () => {
    const tasks = three()
    await renderMonitor(fleet, '/tasks')
    await box('f1')
    fireEvent.click(screen.getByRole('checkbox', { name: 'Select all rows' }))
    await click('Retry')
    const confirm = await within(await dialog()).findByRole('button', { name: 'Retry 3 tasks' })
    act(() => {
      for (const { _id } of tasks.slice(1)) fleet.patch(_id, { status: 'completed' })
    })
    fireEvent.click(confirm)
    const result = await screen.findByTestId('bulk-result')
    expect(result.textContent).toContain('1 task retried, 2 refused.')
    expect(result.textContent).toContain('2× ALREADY_COMPLETED It has completed')
    expect(within(result).getAllByRole('link')).toHaveLength(2)
  })

  it('sets the priority of waiting tasks', async () => {
    const task = put(aTask.pending, { title: 'slow' })
    await renderMonitor(fleet, '/tasks')
    fireEvent.click(await box('slow'))
    await click('Set priority…')
    const asked = within(await dialog())
    fireEvent.change(asked.getByLabelText('Priority'), { target: { value: '10' } })
    fireEvent.click(await asked.findByRole('button', { name: 'Set the priority of 1 task' }))
    await waitFor(() => expect(fleet.rows.tasks.get(task._id)?.priority).toBe(10))
  })

  it('gives each task its earlier priority again', async () => {
    const tasks = [3, 5, 5].map((priority) => put(aTask.pending, { priority, basePriority: priority }))
    const priorities = () => tasks.map(({ _id }) => fleet.rows.tasks.get(_id)?.priority)
    await renderMonitor(fleet, '/tasks')
    await screen.findByText('3 tasks')
    fireEvent.click(screen.getByRole('checkbox', { name: 'Select all rows' }))
    await click('Set priority…')
    fireEvent.click(await within(await dialog()).findByRole('button', { name: 'Set the priority of 3 tasks' }))
    await undo('3 tasks reprioritised')
    await toast('3 tasks with the earlier priority again')
    await waitFor(() => expect(priorities()).toEqual([3, 5, 5]))
  })

  it('pauses a few at once, leaves out what can’t be paused, and takes that back', async () => {
    const tasks = [aTask.pending, aTask.pending, aTask.failed].map((make) => put(make))
    const states = () => tasks.map(({ _id }) => fleet.rows.tasks.get(_id)?.status)
    await renderMonitor(fleet, '/tasks')
    await screen.findByText('3 tasks')
    fireEvent.click(screen.getByRole('checkbox', { name: 'Select all rows' }))
    await click('Pause')
    await toast('2 tasks paused')
    expect(screen.queryByRole('dialog')).toBeNull()
    expect(screen.queryByText('3 selected')).toBeNull()
    await waitFor(() => expect(states()).toEqual(['paused', 'paused', 'failed']))
    await undo('2 tasks paused')
    await toast('2 tasks resumed')
    await waitFor(() => expect(states()).toEqual(['pending', 'pending', 'failed']))
  })

  it('selects by keyboard, and nothing any more with Escape', async () => {
    three()
    await renderMonitor(fleet, '/tasks')
    await box('f1')
    const press = (key: string, options = {}) =>
      fireEvent.keyDown(document.activeElement ?? document.body, { key, ...options })
    press('j')
    press('x')
    press('j')
    press('j')
    press('X', { shiftKey: true })
    screen.getByText('3 selected')
    press('Escape')
    screen.getByText('3 tasks')
  })
})

describe('errors', () => {
  const group = (id: string) => {
    const found = document.querySelector<HTMLElement>(`[data-testid="error-group"][data-error="${id}"]`)
    if (found === null) throw new Error(`no group ${id}`)
    return within(found)
  }

  it('are counted in the navigation and listed with where and since when', async () => {
    fleet.putError(anError({ message: '<b>bad</b>', hosts: ['fra-1'], reopened: 2 }, Date.now()))
    fleet.putError(anError({ _id: 'other', state: 'resolved' }, Date.now()))
    await renderMonitor(fleet)
    expect((await screen.findByTestId('open-errors')).textContent).toBe('1 open')
    fireEvent.click(screen.getByRole('link', { name: /Errors/ }))
    await screen.findByText('<b>bad</b>')
    const open = group('c0ffee')
    open.getByText('fra-1')
    open.getByText('download@2')
    open.getByText(/came back 2 times/)
    open.getByRole('img', { name: 'Trend: 15 in the last 24 h, 8 in this hour' })
    open.getByText('failed attempts')
    expect(open.getByRole('link').getAttribute('href')).toBe('/errors/c0ffee')
    expect(screen.getAllByTestId('error-group')).toHaveLength(1)
  })

  it('are resolved, ignored for a while and reopened', async () => {
    fleet.putError(anError({}, Date.now()))
    fleet.putError(anError({ _id: 'two', code: 'TWO' }, Date.now()))
    const { router } = await renderMonitor(fleet, '/errors')
    await screen.findByText('TWO')
    fireEvent.click(group('two').getByRole('button', { name: 'Resolve' }))
    await waitFor(() => expect(screen.queryByText('TWO')).toBeNull())
    const before = Date.now()
    fireEvent.change(group('c0ffee').getByLabelText('Ignore for'), { target: { value: '1' } })
    await screen.findByText('No error is open')
    const ignoredAt = Date.parse(fleet.rows.errors.get('c0ffee')?.ignoredUntil ?? '') - 86_400_000
    expect(ignoredAt).toBeGreaterThanOrEqual(before)
    expect(ignoredAt).toBeLessThanOrEqual(Date.now())
    fireEvent.click(screen.getByRole('tab', { name: 'Ignored' }))
    const ignored = await screen.findByTestId('error-group')
    expect(ignored.textContent).toMatch(/ignored by local .* ago, for (24|23)\sh more/)
    expect(router.state.location.href).toBe('/errors?state=ignored')
    fireEvent.click(group('c0ffee').getByRole('button', { name: 'Reopen' }))
    await screen.findByText('No error is ignored')
    expect(fleet.rows.errors.get('c0ffee')?.state).toBe('open')
  })

  it('keep their places while the user points at them', async () => {
    fleet.putError(anError({ _id: 'a', lastSeenAt: from(-1_000) }, Date.now()))
    fleet.putError(anError({ _id: 'b', lastSeenAt: from(-2_000) }, Date.now()))
    await renderMonitor(fleet, '/errors')
    const order = () => screen.getAllByTestId('error-group').map((one) => one.dataset.error)
    await waitFor(() => expect(order()).toEqual(['a', 'b']))
    fireEvent.pointerEnter(screen.getByRole('tabpanel'), { pointerType: 'mouse' })
    act(() => void fleet.putError(anError({ _id: 'b', count: 99, lastSeenAt: from(0) }, Date.now())))
    await screen.findByText('99')
    expect(order()).toEqual(['a', 'b'])
    await click('Order changed')
    await waitFor(() => expect(order()).toEqual(['b', 'a']))
  })

  it('are retried and replayed as a whole, counted first', async () => {
    fleet.putError(anError({}, Date.now()))
    const error = { code: 'HTTP_404', name: 'E', message: 'm', fingerprint: 'c0ffee' }
    put(aTask.failed, { error })
    put(aTask.failed, { error })
    put(aTask.failed, { error: { ...error, fingerprint: 'other' } })
    await renderMonitor(fleet, '/errors')
    await click('Retry all')
    fireEvent.click(await within(await dialog()).findByRole('button', { name: 'Retry 2 tasks' }))
    await toast('2 tasks retried')
    const filter = { 'error.fingerprint': 'c0ffee', status: 'failed' }
    expect(fleet.written).toEqual([
      ['tasks.retry', { filter, dryRun: true }],
      ['tasks.retry', { filter }],
    ])
    await click('Replay all')
    await within(await dialog()).findByText(/None of the tasks that failed with this error can be replayed/)
  })
})

describe('hosts', () => {
  it('show what their load gate lets in, and why', async () => {
    const gate = { open: true, lazy: false, reason: 'CPU at 93 %' }
    fleet.putWorker(aWorker({ name: 'fra-1', gate }, Date.now()))
    await renderMonitor(fleet)
    const line = await screen.findByTestId('gate')
    expect(line.textContent).toContain('Closed for lazy tasks: CPU at 93 %')
    act(
      () =>
        void fleet.putWorker(
          aWorker({ name: 'fra-1', slots: 6, gate: { open: false, lazy: false, reason: 'no memory' } }, Date.now()),
        ),
    )
    await screen.findByText('Closed for all tasks: no memory')
    screen.getByRole('img', { name: '0 of 6 slots in use' })
  })

  it('are drained at once, taken back, and resumed', async () => {
    put(aTask.running)
    await renderMonitor(fleet)
    await screen.findByRole('img', { name: '1 of 4 slots in use' })
    await click('Drain fra-1')
    await toast('fra-1 accepts no new tasks')
    await waitFor(() => expect(screen.getByTestId('worker-card').dataset.state).toBe('draining'))
    await click('Undo')
    await waitFor(() => expect(screen.getByTestId('worker-card').dataset.state).toBe('running'))
    await click('Drain fra-1')
    await waitFor(() => expect(screen.getByTestId('worker-card').dataset.state).toBe('draining'))
    await click('Resume fra-1')
    await waitFor(() => expect(screen.getByTestId('worker-card').dataset.state).toBe('running'))
  })
})

describe('queues', () => {
  const line = (name: string) => {
    const found = document.querySelector<HTMLElement>(`[data-testid="queue-row"][data-queue="${name}"]`)
    if (found === null) throw new Error(`no queue ${name}`)
    return found
  }
  const figures = (name: string) =>
    Object.fromEntries(
      [...line(name).querySelectorAll<HTMLElement>('[data-status]')]
        .map((cell) => [cell.dataset.status, cell.textContent] as const)
        .filter(([, text]) => text !== '0'),
    )

  it('are listed with their tasks and their workers', async () => {
    put(aTask.running)
    put(aTask.pending)
    put(aTask.pending, { runAt: from(MINUTE) })
    put(aTask.paused, { queue: 'bulk' })
    put(aTask.failed, { queue: 'bulk' })
    put(aTask.pending, { queue: 'bulk' })
    await renderMonitor(fleet, '/queues')
    await screen.findByText('bulk')
    // Queues, figures and workers come by a query each.
    await waitFor(() => expect(figures('default')).toEqual({ pending: '2', running: '1' }))
    await waitFor(() => expect(figures('bulk')).toEqual({ pending: '1', paused: '1', failed: '1' }))
    await waitFor(() => expect(line('bulk').textContent).toContain('50\u00a0%'))
    await waitFor(() => expect(line('default').textContent).toContain('fra-1'))
    await waitFor(() => expect(line('bulk').textContent).toContain('no live worker'))
    act(() => void put(aTask.pending, { queue: 'bulk', name: 'other' }))
    await waitFor(() => expect(figures('bulk')).toMatchObject({ pending: '2' }))
    expect(line('bulk').textContent).toContain('60\u00a0%')
    expect(screen.getByRole('link', { name: 'bulk' }).getAttribute('href')).toBe('/queues/bulk')
  })

  it('are paused at once, which can be taken back, and explained afterwards', async () => {
    await renderMonitor(fleet, '/queues')
    await click('Pause default')
    await waitFor(() => expect(line('default').dataset.paused).toBe('true'))
    expect(screen.queryByRole('dialog')).toBeNull()
    await undo('The queue default is paused')
    await toast('The queue default is resumed')
    await waitFor(() => expect(line('default').dataset.paused).toBe('false'))
    await click('Pause default')
    await click('Say why default is paused')
    fireEvent.change(within(await dialog()).getByLabelText('Reason (optional)'), { target: { value: 'maintenance' } })
    await click('Save')
    await waitFor(() => expect(line('default').textContent).toMatch(/Pausedby local .* ago: maintenance/))
    expect(screen.queryByRole('button', { name: 'Say why default is paused' })).toBeNull()
    await click('Resume default')
    await waitFor(() => expect(line('default').dataset.paused).toBe('false'))
  })

  it('have limits that can be set and removed, with errors at their field', async () => {
    await renderMonitor(fleet, '/queues')
    const fill = async (label: string, value: string) =>
      fireEvent.change(within(await dialog()).getByLabelText(label), { target: { value } })
    await click('Limits of default')
    await fill('Running at once', '0')
    await click('Save')
    await screen.findByText('A whole number from 1 to 10,000')
    expect(fleet.written).toEqual([])
    await fill('Running at once', '3')
    await fill('Waiting', '5000')
    await fill('Starts', '100001')
    await click('Save')
    await screen.findByText('A whole number from 1 to 100,000')
    expect(within(await dialog()).getByText('Required').dataset.fieldError).toBe('rate.per')
    await fill('Starts', '100')
    await fill('In a time of', '1.5m')
    fleet.refuseNext = { code: 'OUT_OF_RANGE', message: 'Not so many', field: 'maxWaiting' }
    await click('Save')
    await screen.findByText('Not so many')
    await click('Save')
    await waitFor(() =>
      expect(line('default').textContent).toContain('at most 3 at once, at most 100 per 90s, at most 5,000 waiting'),
    )
    await click('Pause default')
    await waitFor(() => expect(line('default').dataset.paused).toBe('true'))
    expect(line('default').textContent).toContain('at most 3 at once')
    await click('Limits of default')
    await fill('Running at once', '')
    await click('Save')
    await waitFor(() => expect(line('default').textContent).not.toContain('at once'))
    expect(fleet.written.at(-1)).toEqual(['queues.limit', { name: 'default', limits: { concurrency: null } }])
  })

  it('count all their tasks, and link to them', async () => {
    for (let n = 0; n < 1_204; n++) fleet.put(aTask.pending())
    put(aTask.failed)
    await fleet.stored()
    const { router } = await renderMonitor(fleet, '/queues')
    await waitFor(() => expect(figures('default')).toEqual({ pending: '1,204', failed: '1' }))
    fireEvent.click(screen.getByRole('link', { name: '1 failed in default' }))
    await waitFor(() => expect(router.state.location.href).toBe('/tasks?status=failed&queue=default'))
  })
})

describe('a key that may only read', () => {
  it('is offered no new task, by button or by key', async () => {
    fleet.welcome = { ...fleet.welcome, scopes: ['read'] }
    await renderMonitor(fleet, '/tasks')
    await screen.findByText('New tasks appear here at once.')
    expect(screen.queryByRole('button', { name: 'New task' })).toBeNull()
    fireEvent.keyDown(document.body, { key: 'n' })
    expect(screen.queryByRole('dialog')).toBeNull()
    fireEvent.keyDown(document.body, { key: '?' })
    expect((await dialog()).textContent).not.toContain('New task')
  })
})
