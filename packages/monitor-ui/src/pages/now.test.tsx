// @vitest-environment happy-dom
import { act, fireEvent, screen, waitFor, within } from '@testing-library/react'
import { beforeEach, expect, it, vi } from 'vitest'
import { FakeFleet } from '../testing/fake-fleet.ts'
import { withoutComplaints } from '../testing/page.ts'
import { renderMonitor } from '../testing/render-monitor.tsx'
import { aTask, aWorker } from '../testing/rows.ts'

let fleet: FakeFleet
beforeEach(() => {
  fleet = new FakeFleet()
})
withoutComplaints()

it('shows many tasks of a host as cells, and the one that is pointed at or tapped as a row', async () => {
  const host = fleet.putWorker(aWorker({ name: 'fra-1', slots: 20 }, Date.now()))
  const tasks = Array.from({ length: 12 }, (_, at) =>
    fleet.put(aTask.running({ worker: host._id, title: `file ${at}` }, Date.now())),
  )
  const { router } = await renderMonitor(fleet)
  await waitFor(() => expect(screen.getAllByTestId('task-cell')).toHaveLength(12))
  const card = within(screen.getByTestId('worker-card'))
  const cell = (at: number) =>
    screen.getAllByTestId('task-cell').find(({ dataset }) => dataset.task === tasks[at]!._id)!
  fireEvent.pointerEnter(cell(3))
  await waitFor(() => expect(card.getByTestId('task-row').dataset.task).toBe(tasks[3]!._id))
  // The first tap on another one only shows it.
  fireEvent.click(cell(5))
  await waitFor(() => expect(card.getByTestId('task-row').dataset.task).toBe(tasks[5]!._id))
  expect(router.state.location.pathname).toBe('/')
  fireEvent.click(cell(5))
  await waitFor(() => expect(router.state.location.pathname).toBe(`/tasks/${tasks[5]!._id}`))
})

it('turns no host red while only this page is cut off', async () => {
  vi.useFakeTimers({ shouldAdvanceTime: true, toFake: ['Date', 'setInterval', 'clearInterval'] })
  fleet.putWorker(aWorker({ name: 'fra-1' }, Date.now()))
  await renderMonitor(fleet)
  await waitFor(() => expect(screen.getByTestId('worker-card').dataset.state).toBe('running'))
  act(() => fleet.setState('reconnecting'))
  await act(() => vi.advanceTimersByTimeAsync(120_000))
  await screen.findByText(/out of reach for 2/)
  expect(screen.getByTestId('worker-card').dataset.state).toBe('running')
})
