// @vitest-environment happy-dom
import type { AttentionRow, SetAsideRow } from '@taskfleet/protocol'
import { act, fireEvent, screen, waitFor, within } from '@testing-library/react'
import { beforeEach, describe, expect, it, vi } from 'vitest'
import { FakeFleet } from '../testing/fake-fleet.ts'
import { click, withoutComplaints } from '../testing/page.ts'
import { renderMonitor } from '../testing/render-monitor.tsx'
import { aTask, aWorker, iso } from '../testing/rows.ts'
import { formatTick } from '../view/format.ts'

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

describe('the charts', () => {
  const figures = (title: string) =>
    screen
      .findByRole('region', { name: title })
      .then((chart) =>
        [...within(chart).getByRole('list').children].map(({ textContent }) => textContent?.replaceAll('\u00a0', ' ')),
      )

  it('show what ended and waited, and how long tasks waited and ran', async () => {
    await fleet.roll(
      { queue: 'bulk', name: 'encode', count: 4 },
      { queue: 'bulk', name: 'encode', count: 1, status: 'failed' },
    )
    const groups = [{ queue: 'bulk', name: 'encode', count: 7, oldestMs: 90_000 }]
    await fleet.sample(Date.now() - 60_000, { groups, attention: 0 })
    await renderMonitor(fleet)
    await waitFor(async () => expect(await figures('Waiting')).toEqual(['7 at most', '1 m 30 s the oldest']))
    await waitFor(async () => expect(await figures('Waited')).toEqual(['15 ms p50', '20 ms p95']))
    fireEvent.click(screen.getByRole('button', { name: 'Runs' }))
    expect((await figures('Ran'))[0]).toMatch(/s p50$/)
  })

  it('have what ended in the last minutes at once', async () => {
    await renderMonitor(fleet)
    const at = (ms: number) => iso(Date.now() - ms)
    const times = { createdAt: at(3_000), runAt: at(3_000), claimedAt: at(2_000), finishedAt: at(500) }
    act(() => {
      fleet.put(aTask.completed(times))
      fleet.put(aTask.failed(times))
    })
    await waitFor(async () => expect(await figures('Ended')).toEqual(['1 completed', '1 failed']))
  })
})

describe('what needs somebody', () => {
  const shown = () => screen.findByRole('region', { name: 'What needs somebody' })

  it('says that all is well', async () => {
    vi.spyOn(fleet.attention, 'list').mockResolvedValue([])
    await renderMonitor(fleet, '/')
    expect((await shown()).textContent).toBe('All is well')
  })

  it('lists what needs somebody, each with a link to its cause', async () => {
    const rows: AttentionRow[] = [
      { _id: '1', kind: 'unserved', urgency: 'now', subject: 'encode@2', message: 'nobody serves it', queue: 'video' },
      { _id: '2', kind: 'behind', urgency: 'now', subject: 'video', message: 'it waits', queue: 'video' },
      { _id: '3', kind: 'missed', urgency: 'now', subject: 'nightly', message: 'it is late', schedule: 'nightly' },
      { _id: '4', kind: 'silent', urgency: 'soon', subject: 'fra-01', message: 'it is silent', worker: 's' },
      { _id: '5', kind: 'deadline', urgency: 'soon', subject: 'encode', message: 'it is near', name: 'encode' },
      { _id: '6', kind: 'failing', urgency: 'soon', subject: 'EIO', message: 'it is new', error: 'f' },
    ]
    vi.spyOn(fleet.attention, 'list').mockResolvedValue(rows)
    await renderMonitor(fleet, '/')
    const found = within(await shown()).getAllByTestId('attention-row')
    expect(found.map((row) => [row.textContent, row.querySelector('a')?.getAttribute('href')])).toEqual([
      ['Nowencode@2 nobody serves it', '/handlers'],
      ['Nowvideo it waits', '/tasks?status=pending&queue=video&sort=createdAt'],
      ['Nownightly it is late', '/schedules'],
      ['Soonfra-01 it is silent', '/hosts/fra-01'],
      ['Soonencode it is near', '/tasks?name=encode&deadline=risk'],
      ['SoonEIO it is new', '/errors/f'],
    ])
  })

  it('says why the list can not be read, instead of that all is well', async () => {
    fleet.refused.set('attention.list', { code: 'QUERY_TOO_SLOW', message: 'the database is busy' })
    await renderMonitor(fleet, '/')
    await screen.findByText(/can't be read now: the database is busy/)
    expect(screen.queryByText('All is well')).toBeNull()
  })

  it('says since when all is well', async () => {
    vi.spyOn(fleet.attention, 'list').mockResolvedValue([])
    const minute = Math.floor(Date.now() / 60_000) * 60_000
    await fleet.sample(minute - 240_000, { groups: [], attention: 2 })
    await fleet.sample(minute - 180_000, { groups: [], attention: 0 })
    await renderMonitor(fleet, '/')
    const since = await screen.findByTestId('well-since')
    expect(since.textContent).toBe(`since ${formatTick(minute - 180_000, false)}`)
  })
})

it('has a wall mode without the frame, which is in the address', async () => {
  const { router } = await renderMonitor(fleet, '/?wall=1')
  await screen.findByTestId('wall-bar')
  expect(screen.queryByRole('navigation')).toBeNull()
  expect(screen.queryByRole('region', { name: 'Next up' })).toBeNull()
  await click('Leave the wall mode')
  await screen.findByRole('navigation')
  expect(router.state.location.href).toBe('/')
})

it('shows the number of invalid documents, with links to the tasks among them', async () => {
  const id = '65f000000000000000000001'
  const at = '2026-11-28T20:00:00.000Z'
  const misfits: SetAsideRow[] = [
    { collection: 'tasks', id, how: 'failed', problem: "'priority' is the text 'high', not a whole number", at },
    { collection: 'queues', id: 'default', how: 'skipped', problem: "'concurrency' is the text 'x'", at },
  ]
  vi.spyOn(fleet.documents, 'list').mockResolvedValue(misfits)
  await renderMonitor(fleet, '/')
  const line = await screen.findByRole('region', { name: 'Documents set aside' })
  expect(line.textContent).toMatch(/2 invalid documents are set aside: 1 in tasks, 1 in queues/)
  expect(within(line).getByRole('link').getAttribute('href')).toBe(`/tasks/${id}`)
})
