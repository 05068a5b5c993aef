// @vitest-environment happy-dom
import type { TaskRow } from '@taskfleet/protocol'
import { act, fireEvent, screen, waitFor, within } from '@testing-library/react'
import { beforeEach, describe, expect, it, vi } from 'vitest'
import { FakeFleet } from '../testing/fake-fleet.ts'
import { click, toast, withoutComplaints } from '../testing/page.ts'
import { renderMonitor } from '../testing/render-monitor.tsx'
import { aKey, anError, aTask, iso } from '../testing/rows.ts'

let fleet: FakeFleet

beforeEach(() => {
  fleet = new FakeFleet()
})
withoutComplaints()

const MINUTE = 60_000
const ago = (ms: number) => iso(Date.now() - ms)
const ERROR = { code: 'HTTP_404', name: 'FleetError', message: 'GET answered 404 Not Found', fingerprint: 'c0ffee' }
const failed = (title: string, overrides: Partial<TaskRow> = {}) =>
  fleet.put(aTask.failed({ title, error: ERROR, ...overrides }, Date.now()))
const listed = async () => (await screen.findAllByTestId('error-task')).map(({ dataset }) => dataset.task)

describe('an error', () => {
  it('shows what it is, where it happens, and counts attempts and tasks', async () => {
    fleet.putError(anError({ message: '<b>bad</b>', hosts: ['fra-1'], reopened: 2, count: 57 }, Date.now()))
    const task = failed('a.iso', { failures: 5 })
    failed('b.iso', { finishedAt: ago(5 * 60 * MINUTE) })
    failed('other', { error: { ...ERROR, fingerprint: 'other' } })
    await renderMonitor(fleet, '/errors/c0ffee')
    await screen.findByRole('heading', { name: 'HTTP_404' })
    const page = within(screen.getByTestId('error-page'))
    page.getByText('<b>bad</b>')
    page.getByText('fra-1')
    page.getByText('2 times')
    expect(page.getByRole('link', { name: 'download@2' }).getAttribute('href')).toBe(
      '/tasks?name=download&status=failed',
    )
    expect(page.getByLabelText('Stack').textContent).toContain('fetchRange')
    page.getByRole('img', { name: 'Trend: 15 in the last 24 h, 8 in this hour' })
    await waitFor(() =>
      expect(screen.getByRole('region', { name: 'How often' }).textContent).toContain('failed attempts57'),
    )
    await waitFor(() =>
      expect(screen.getByRole('region', { name: 'How often' }).textContent).toContain('failed tasks2'),
    )
    expect(await listed()).toEqual([task._id])
    await screen.findByText('1 failed task in the last hour')
    expect(screen.getByTestId('error-task').textContent).toContain('GET answered 404 Not Found')
    expect(screen.getByTestId('error-task').textContent).toContain('5 failed attempts')
    expect(document.title).toContain('HTTP_404')
  })

  it('has an owner and a note, which the list shows too', async () => {
    fleet.putError(anError({}, Date.now()))
    const { router } = await renderMonitor(fleet, '/errors/c0ffee')
    await click('Add a note')
    fireEvent.change(screen.getByLabelText('Owner'), { target: { value: ' ana ' } })
    fireEvent.change(screen.getByLabelText('Note'), { target: { value: '<b>ticket 17</b>' } })
    await click('Save')
    await toast('Saved the owner and the note')
    expect(fleet.sent('errors.mark')).toEqual([{ fingerprint: 'c0ffee', owner: 'ana', note: '<b>ticket 17</b>' }])
    expect((await screen.findByTestId('error-note')).textContent).toBe('<b>ticket 17</b>')
    await act(() => router.navigate({ to: '/errors' }))
    expect((await screen.findByTestId('error-group')).textContent).toMatch(/owner ana.*<b>ticket 17<\/b>/)
  })

  it('is resolved in the version after the last one in which it happened', async () => {
    fleet.putError(anError({ versions: ['download@2', 'download@11', 'upload@1'] }, Date.now()))
    await renderMonitor(fleet, '/errors/c0ffee')
    const choice = await screen.findByRole<HTMLSelectElement>('combobox', { name: 'Resolve in' })
    expect([...choice.options].map(({ text }) => text)).toEqual(['Resolve in…', 'download@12', 'upload@2'])
    fireEvent.change(choice, { target: { value: '0' } })
    await toast('Resolved in download@12: HTTP_404')
    expect(fleet.sent('errors.mark')).toEqual([{ fingerprint: 'c0ffee', state: 'resolved', resolvedIn: 'download@12' }])
    await waitFor(() =>
      expect(screen.getByTestId('error-page').textContent).toContain('resolved in download@12 by local'),
    )
  })

  it('counts its failed tasks by host and version', async () => {
    fleet.putError(anError({}, Date.now()))
    for (let n = 0; n < 3; n += 1) failed(`${n}.iso`, { host: 'fra-1', name: 'download', version: 2 })
    failed('3.iso', { host: 'fra-2', name: 'download', version: 1 })
    await renderMonitor(fleet, '/errors/c0ffee')
    const table = await screen.findByRole('table', { name: 'Failed tasks by host and version' })
    const cells = [...table.querySelectorAll('tr')].map((row) =>
      [...row.children].map(({ textContent }) => textContent),
    )
    expect(cells).toEqual([
      ['Host', 'download@2', 'download@1'],
      ['fra-1', '3', '–'],
      ['fra-2', '–', '1'],
    ])
    expect(screen.getByRole('region', { name: 'Where it failed' }).textContent).toContain('4 failed tasks')
  })

  it('marks in its chart when versions of its handlers came', async () => {
    fleet.putError(anError({}, Date.now()))
    const handler = { queues: ['default'], workers: ['fra-1'] }
    vi.spyOn(fleet.handlers, 'list').mockResolvedValue([
      { ...handler, name: 'download', version: 2, firstSeenAt: ago(3 * 60 * MINUTE) },
      { ...handler, name: 'download', version: 1, firstSeenAt: ago(72 * 60 * MINUTE) },
      { ...handler, name: 'other', version: 5, firstSeenAt: ago(MINUTE) },
    ])
    await renderMonitor(fleet, '/errors/c0ffee')
    const marks = await screen.findAllByTestId('deploy')
    expect(marks.map(({ textContent }) => textContent)).toEqual(['download@2'])
    expect(screen.getByRole('region', { name: 'How often' }).textContent).toMatch(/Deployed: download@2 3\sh\sago/)
  })

  it('is four clicks from Now to a replay of exactly its tasks of the last hour', async () => {
    fleet.putError(anError({}, Date.now()))
    const tasks = [1, 2, 3, 4].map((n) => failed(`${n}.iso`, { finishedAt: ago(n * MINUTE) }))
    failed('old.iso', { finishedAt: ago(120 * MINUTE) })
    await renderMonitor(fleet, '/')
    fireEvent.click(await screen.findByRole('link', { name: /Errors/ }))
    fireEvent.click(await screen.findByRole('link', { name: /GET answered 404/ }))
    const ids = tasks.map(({ _id }) => _id)
    await waitFor(async () => expect(await listed()).toEqual(ids))
    fireEvent.click(screen.getByRole('checkbox', { name: 'Select all 4' }))
    await click('Replay exactly these 4')
    await toast('4 tasks replayed')
    expect(fleet.written).toEqual([['tasks.replay', { ids }]])
    expect([...fleet.rows.tasks.values()].filter(({ replayOf }) => ids.includes(replayOf ?? ''))).toHaveLength(4)
    expect(screen.getByRole<HTMLInputElement>('checkbox', { name: 'Select all 4' }).checked).toBe(false)
  })

  it('retries the selected ones, which then leave the list', async () => {
    fleet.putError(anError({}, Date.now()))
    const [one, two] = [failed('1.iso', { finishedAt: ago(MINUTE) }), failed('2.iso', { finishedAt: ago(2 * MINUTE) })]
    await renderMonitor(fleet, '/errors/c0ffee')
    await waitFor(async () => expect(await listed()).toEqual([one._id, two._id]))
    expect(screen.getByRole<HTMLButtonElement>('button', { name: 'Retry' }).disabled).toBe(true)
    fireEvent.click(screen.getByRole('checkbox', { name: 'Select 2.iso' }))
    await click('Retry exactly this 1')
    await toast('1 task retried')
    expect(fleet.sent('tasks.retry')).toEqual([{ ids: [two._id] }])
    await waitFor(async () => expect(await listed()).toEqual([one._id]))
  })

  it('keeps the rows while some are selected', async () => {
    fleet.putError(anError({}, Date.now()))
    const one = failed('1.iso', { finishedAt: ago(MINUTE) })
    await renderMonitor(fleet, '/errors/c0ffee')
    fireEvent.click(await screen.findByRole('checkbox', { name: 'Select 1.iso' }))
    act(() => void failed('2.iso', { finishedAt: ago(1_000) }))
    await screen.findByText('1 new')
    expect(await listed()).toEqual([one._id])
    screen.getByRole('button', { name: 'Replay exactly this 1' })
  })

  it('offers a longer time where the last hour has no task', async () => {
    fleet.putError(anError({}, Date.now()))
    const task = failed('old.iso', { finishedAt: ago(120 * MINUTE) })
    const { router } = await renderMonitor(fleet, '/errors/c0ffee')
    await screen.findByText('No task failed with this error in the last hour')
    await click('Show the last 24 hours')
    expect(await listed()).toEqual([task._id])
    expect(router.state.location.href).toBe('/errors/c0ffee?range=24h')
  })

  it('is resolved and reopened, with the name of the key', async () => {
    fleet.welcome = { ...fleet.welcome, scopes: ['admin'] }
    fleet.putKey(aKey({ id: 'abcdef012345', name: 'night shift' }))
    const marked = { by: 'abcdef012345', at: ago(MINUTE) }
    fleet.putError(anError({ state: 'resolved', marked }, Date.now()))
    await renderMonitor(fleet, '/errors/c0ffee')
    await screen.findByText('night shift')
    await click('Reopen')
    await waitFor(() => expect(screen.getByTestId('error-page').dataset.state).toBe('open'))
    await click('Resolve')
    await waitFor(() => expect(screen.getByTestId('error-page').dataset.state).toBe('resolved'))
  })

  it('offers nothing to a key that may only read', async () => {
    fleet.welcome = { ...fleet.welcome, scopes: ['read'] }
    fleet.putError(anError({}, Date.now()))
    failed('a.iso')
    await renderMonitor(fleet, '/errors/c0ffee')
    await listed()
    expect(screen.queryByRole('checkbox')).toBeNull()
    expect(screen.queryByRole('group', { name: 'Actions' })).toBeNull()
  })

  it('may be unknown, or not for this key', async () => {
    await renderMonitor(fleet, '/errors/gone')
    await screen.findByText('There is no such error')
    fleet.putError(anError({ _id: 'gone' }, Date.now()))
    await screen.findByTestId('error-page')
    act(() => fleet.loseRight('errors', 'A key that is limited may not read errors'))
    await screen.findByText('This key may not read errors')
  })
})
