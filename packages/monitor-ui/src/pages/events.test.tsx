// @vitest-environment happy-dom
import { act, fireEvent, screen, waitFor, within } from '@testing-library/react'
import { beforeEach, describe, expect, it, vi } from 'vitest'
import { FakeFleet } from '../testing/fake-fleet.ts'
import { click, dialog, fill, press, toast, withoutComplaints, wrongFields } from '../testing/page.ts'
import { renderMonitor } from '../testing/render-monitor.tsx'
import { aCallback, anEvent, aWorker, iso } from '../testing/rows.ts'

let fleet: FakeFleet

beforeEach(() => {
  fleet = new FakeFleet()
  fleet.putWorker(aWorker({ tasks: ['addition@1', 'division@2'] }, Date.now()))
})
withoutComplaints()

const open = (path = '/events') => renderMonitor(fleet, path)
const names = () => screen.queryAllByTestId('event').map((row) => row.querySelector('bdi')?.textContent)
const ago = (ms: number) => iso(Date.now() - ms)

describe('the list of events', () => {
  it('shows that there is none, and the next step', async () => {
    await open()
    await screen.findByText('There are no events yet')
    await screen.findByText('No callback is registered')
  })

  it('shows the newest first, with their tasks as links, and follows every change', async () => {
    const old = fleet.putEvent(
      anEvent.scheduled({ name: 'Old', createdAt: ago(9_000), tasks: ['aaaaaaaaaaaaaaaaaaaaaaaa'] }, Date.now()),
    )
    fleet.putEvent(anEvent.processing({ name: 'New', createdAt: ago(1_000) }, Date.now()))
    await open()
    await waitFor(() => expect(names()).toEqual(['New', 'Old']))
    const row = () => screen.getAllByTestId('event')[1] as HTMLElement
    expect(row().textContent).toMatch(/in 1.m.[0-3]\d.s/)
    expect(within(row()).getByRole('link').getAttribute('href')).toBe('/tasks/aaaaaaaaaaaaaaaaaaaaaaaa')
    act(
      () =>
        void fleet.putEvent({
          ...old,
          status: 'failed',
          startedAt: ago(1_240),
          processedAt: ago(0),
          results: [
            {
              task: 'aaaaaaaaaaaaaaaaaaaaaaaa',
              name: 'division',
              status: 'failed',
              error: { code: 'DIVISION_BY_ZERO', message: '1 can’t be divided by zero' },
            },
          ],
        }),
    )
    await waitFor(() => expect(row().dataset.status).toBe('failed'))
    expect(row().textContent).toContain('division: DIVISION_BY_ZERO')
    expect(row().textContent).toMatch(/took 1\.24.s/)
    act(() => void fleet.putEvent(anEvent.finished({ name: 'Newest', createdAt: ago(0) }, Date.now())))
    await waitFor(() => expect(names()).toEqual(['Newest', 'New', 'Old']))
  })

  it('draws hostile names, props and results as text, cut and with nothing hidden', async () => {
    const result = { task: 't', name: '<b>x</b>', status: 'completed' as const, output: 'a\u202eb' }
    const props = { note: '<img src=x onerror=alert(1)>', long: 'x'.repeat(5_000) }
    fleet.putEvent(anEvent.finished({ name: '<i>n</i>', props, results: [result], tasks: ['t'] }, Date.now()))
    await open()
    const row = await screen.findByTestId('event')
    expect(row.textContent).toContain('<i>n</i>')
    expect(row.textContent).toContain('<b>x</b> = "a\\u{202e}b"')
    expect(row.querySelector('summary')?.textContent).toHaveLength(161)
    expect(row.querySelector('img, b, i')).toBeNull()
  })

  it('is filtered by status and name, which the address keeps', async () => {
    fleet.putEvent(anEvent.finished({ name: 'Add' }, Date.now()))
    fleet.putEvent(anEvent.failed({ name: 'Divide' }, Date.now()))
    fleet.putEvent(anEvent.finished({ name: 'Divide.all' }, Date.now()))
    const { router } = await open('/events?name=divide')
    await waitFor(() => expect(names().sort()).toEqual(['Divide', 'Divide.all']))
    await click('Failed')
    await waitFor(() => expect(names()).toEqual(['Divide']))
    expect(router.state.location.searchStr).toBe('?status=failed&name=divide')
    await click('Processing')
    await screen.findByText('No event matches this filter')
    await click('Processing')
    fireEvent.change(screen.getByLabelText('Name of the event'), { target: { value: '' } })
    await waitFor(() => expect(names()).toHaveLength(3))
    expect(router.state.location.searchStr).toBe('')
  })

  it('cancels open events and removes ended ones, each after a confirmation', async () => {
    const callback = fleet.putCallback(aCallback())
    const event = await fleet.events.post({ name: 'Add', scheduledFor: iso(Date.now() + 60_000) })
    await open()
    await click('Cancel Add')
    press(await dialog(), 'Keep it')
    expect(fleet.rows.events.get(event._id)?.status).toBe('scheduled')
    await click('Cancel Add')
    press(await dialog(), 'Cancel its tasks')
    await toast('Requested to cancel Add')
    expect(fleet.rows.tasks.get(event.tasks[0] ?? '')).toMatchObject({ name: callback.task, status: 'cancelled' })
    await click('Remove Add')
    fleet.refuseNext = { code: 'NOT_ENDED', message: 'This event is processing' }
    press(await dialog(), 'Remove it')
    expect((await within(await dialog()).findByRole('alert')).textContent).toBe('This event is processing')
    press(await dialog(), 'Remove it')
    await toast('Removed Add from the log')
    await screen.findByText('There are no events yet')
  })

  it('shows the reason if the key may not read events', async () => {
    fleet.subscribe = async () => {
      throw Object.assign(new Error('This key is limited'), { code: 'FORBIDDEN' })
    }
    await open()
    const [alert] = await screen.findAllByRole('alert')
    expect(alert?.querySelector('p')?.textContent).toBe('This key is limited FORBIDDEN')
  })

  it('is shown after a successful retry', async () => {
    const subscribe = fleet.subscribe
    fleet.subscribe = async () => {
      throw Object.assign(new Error('This key is limited'), { code: 'FORBIDDEN' })
    }
    await open()
    const again = await screen.findByRole('button', { name: 'Try again' })
    fleet.subscribe = subscribe
    fireEvent.click(again)
    await screen.findByText('There are no events yet')
    expect(screen.queryByRole('alert')).toBeNull()
  })
})

describe('sending an event', () => {
  it('offers known names, shows the callbacks, and sends the typed values', async () => {
    fleet.putCallback(aCallback({ event: 'Add', task: 'addition' }))
    fleet.putEvent(anEvent.finished({ name: 'Seen' }, Date.now()))
    await open()
    await screen.findByTestId('callback')
    await click('Send an event')
    const form = await dialog()
    const offered = () => [...form.querySelectorAll('datalist option')].map((option) => option.getAttribute('value'))
    await waitFor(() => expect(offered()).toEqual(['Add', 'Seen']))
    fill(form, 'Name', 'Unheard')
    expect(form.textContent).toContain('No callback is registered for it')
    fill(form, 'Name', 'Add')
    expect(form.textContent).toContain('Calls addition@1.')
    fill(form, 'Props (JSON)', '{ "a": 2, "b": 3 }')
    fill(form, 'Scheduled for', '2031-05-06T07:08:09')
    fill(form, 'Priority', '9')
    press(form, 'Send')
    await toast('Sent Add: 1 task')
    expect(fleet.sent('events.post')).toEqual([
      {
        _id: expect.stringMatching(/^[0-9a-f]{24}$/),
        name: 'Add',
        props: { a: 2, b: 3 },
        scheduledFor: new Date('2031-05-06T07:08:09').toISOString(),
        priority: 9,
      },
    ])
    await waitFor(() => expect(names()).toContain('Add'))
  })

  it('checks before it sends, shows the gateway’s objection at its field, and sends the same id again', async () => {
    await open()
    await click('Send an event')
    const form = await dialog()
    fill(form, 'Name', '7up')
    fill(form, 'Props (JSON)', '[1]')
    press(form, 'Send')
    const wrong = () => within(form).getAllByRole('alert')
    expect(await wrongFields(form)).toEqual(['name', 'props'])
    expect(fleet.written).toEqual([])
    fill(form, 'Name', 'Add')
    fill(form, 'Props (JSON)', '{ "$where": 1 }')
    press(form, 'Send')
    await waitFor(() => expect(wrong().map((alert) => alert.dataset.fieldError)).toEqual(['props']))
    fill(form, 'Props (JSON)', '{ "a": 1 }')
    fleet.refuseNext = { code: 'NO_ANSWER', message: 'The gateway did not answer in time' }
    press(form, 'Send')
    await waitFor(() =>
      expect(wrong().map((alert) => alert.textContent)).toEqual(['The gateway did not answer in time']),
    )
    press(form, 'Send')
    await toast('Sent Add: 0 tasks')
    const [other, first, second] = fleet.sent('events.post') as { _id: string }[]
    expect(first?._id).toBe(second?._id)
    expect(first?._id).not.toBe(other?._id)
  })
})

describe('callbacks', () => {
  it('are registered with their defaults, and listed at once', async () => {
    await open()
    await click('Register a callback')
    const form = await dialog()
    const offered = () => [...form.querySelectorAll('datalist option')].map((option) => option.getAttribute('value'))
    await waitFor(() => expect(offered()).toEqual(['addition', 'division']))
    fill(form, 'When this event arrives', 'Divide')
    fill(form, 'Run this task', 'division')
    fill(form, 'Version', '2')
    fill(form, 'Input (JSON)', '{ "b": 1 }')
    fill(form, 'Queue', 'arithmetic')
    fill(form, 'Priority', '8')
    fill(form, 'Attempts', '3')
    fireEvent.click(within(form).getByLabelText('Lazy'))
    press(form, 'Register')
    await toast('Divide calls division')
    expect(fleet.sent('callbacks.create')).toEqual([
      {
        _id: expect.stringMatching(/^[0-9a-f]{24}$/),
        event: 'Divide',
        task: 'division',
        version: 2,
        defaults: { input: { b: 1 }, queue: 'arithmetic', priority: 8, maxAttempts: 3, lazy: true },
      },
    ])
    expect((await screen.findByTestId('callback')).textContent).toContain('Divide → division@2')
  })

  it('are edited as they were seen: one that was changed meanwhile is left alone', async () => {
    const callback = fleet.putCallback(aCallback({ defaults: { queue: 'arithmetic' } }))
    await open()
    await click('Edit Add → addition')
    fleet.putCallback({ ...callback, rev: 2 })
    const form = await dialog()
    expect((within(form).getByLabelText('Queue') as HTMLInputElement).value).toBe('arithmetic')
    fill(form, 'Queue', '')
    press(form, 'Save')
    expect((await within(form).findByRole('alert')).textContent).toBe(
      'The callback was changed in the meantime; read it again',
    )
    fleet.putCallback({ ...callback, rev: 1 })
    press(form, 'Save')
    await toast('Add now calls addition')
    expect(await fleet.callbacks.show({ id: callback._id })).toMatchObject({ defaults: {}, rev: 2 })
  })

  it('shows an objection to a default at its field', async () => {
    fleet.putCallback(aCallback())
    await open()
    await click('Edit Add → addition')
    const form = await dialog()
    fill(form, 'Queue', 'slow')
    fleet.refuseNext = { code: 'BAD_QUEUE', message: 'Not a name for a queue', field: 'defaults.queue' }
    press(form, 'Save')
    expect((await within(form).findByRole('alert')).dataset.fieldError).toBe('defaults.queue')
  })

  it('are removed after a question', async () => {
    fleet.putCallback(aCallback())
    await open()
    await click('Remove Add → addition')
    press(await dialog(), 'Remove it')
    await toast('Add no longer calls addition')
    await screen.findByText('No callback is registered')
  })

  it('are loaded again every ten seconds', async () => {
    vi.useFakeTimers({ shouldAdvanceTime: true })
    await open()
    await screen.findByText('No callback is registered')
    fleet.putCallback(aCallback())
    await act(() => vi.advanceTimersByTimeAsync(10_100))
    await screen.findByTestId('callback')
  })
})

describe('the permissions of a key', () => {
  it('decide which commands are offered', async () => {
    fleet.welcome = { ...fleet.welcome, scopes: ['read'] }
    fleet.putCallback(aCallback())
    fleet.putEvent(anEvent.scheduled({}, Date.now()))
    await open()
    await screen.findByTestId('event')
    await screen.findByTestId('callback')
    const offered = within(screen.getByRole('main'))
      .getAllByRole('button')
      .map((one) => one.textContent)
    expect(offered).toEqual(['Scheduled', 'Processing', 'Finished', 'Failed', 'Cancelled'])
  })

  it('with write alone: sending, and nothing else', async () => {
    fleet.welcome = { ...fleet.welcome, scopes: ['read', 'write'] }
    fleet.putCallback(aCallback())
    fleet.putEvent(anEvent.scheduled({}, Date.now()))
    await open()
    await screen.findByRole('button', { name: 'Send an event' })
    expect(screen.queryByRole('button', { name: /^(Cancel Add|Remove|Edit|Register)/ })).toBeNull()
  })
})

it('is reached from everywhere by g v', async () => {
  await open('/')
  fireEvent.keyDown(document.body, { key: 'g' })
  fireEvent.keyDown(document.body, { key: 'v' })
  await screen.findByRole('heading', { name: 'Events' })
})
