// @vitest-environment happy-dom

import type { TaskRow, WorkerRow } from '@taskfleet/protocol'
import { act, cleanup, fireEvent, render, screen, within } from '@testing-library/react'
import { type ReactNode, StrictMode } from 'react'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { FleetBoard, FleetProvider, type LiveTask, TaskList, TaskProgress } from './index.ts'
import { aRow, aWorker, EPOCH, FakeClient, iso, refusedWith } from './testing/fake-client.ts'

let client: FakeClient
let complaints: unknown[][]
/** Whether an element is on the screen. */
let isSeen: (element: Element) => boolean

beforeEach(() => {
  vi.useFakeTimers({ now: EPOCH })
  client = new FakeClient()
  complaints = []
  isSeen = () => true
  vi.stubGlobal('IntersectionObserver', Screen)
  vi.spyOn(console, 'error').mockImplementation((...said) => void complaints.push(said))
})
afterEach(async () => {
  cleanup()
  await settle()
  expect(client.open).toBe(0)
  vi.unstubAllGlobals()
  vi.restoreAllMocks()
  vi.useRealTimers()
  expect(complaints).toEqual([])
})

class Screen {
  readonly #listener: (entries: { isIntersecting: boolean }[]) => void
  constructor(listener: (entries: { isIntersecting: boolean }[]) => void) {
    this.#listener = listener
  }
  observe(element: Element): void {
    this.#listener([{ isIntersecting: isSeen(element) }])
  }
  disconnect(): void {}
}

const settle = (ms = 10): Promise<void> => act(async () => void (await vi.advanceTimersByTimeAsync(ms)))

async function show(what: ReactNode) {
  const around = (shown: ReactNode) => (
    <StrictMode>
      <FleetProvider client={client.api}>{shown}</FleetProvider>
    </StrictMode>
  )
  const { rerender } = render(around(what))
  await settle()
  return (next: ReactNode) => rerender(around(next))
}

/** The rows of the open query of a collection. */
function rows(collection: 'tasks', next: TaskRow[]): void
function rows(collection: 'workers', next: WorkerRow[]): void
function rows(collection: 'tasks' | 'workers', next: (TaskRow | WorkerRow)[]): void {
  const found = client.subscriptions.filter(({ query, open }) => open && (query.collection ?? 'tasks') === collection)
  act(() => found.at(-1)!.listener(next as TaskRow[], null, 'snapshot'))
}

const progress = (ratio: number, seconds = 0, over = {}) => ({ ratio, at: iso(EPOCH + seconds * 1_000), ...over })
const watchOf = (id: string) => client.watches.findLast((watch) => watch.id === id && watch.open)!
const bar = (title: string) => screen.getByRole('progressbar', { name: `Progress of ${title}` })
const plain = (element: Element | null) => (element?.textContent ?? '').replaceAll('\u00a0', ' ')

describe('<TaskProgress>', () => {
  const task = aRow({ _id: 'a', title: 'big.iso', worker: 'w1', host: 'host-a', claimedAt: iso(EPOCH - 60_000) })

  test('shows percentage, message, rate, time left and their source as the task moves', async () => {
    await show(<TaskProgress task="a" className="mine" />)
    expect(screen.getByRole('status').textContent).toBe('Loading…')
    rows('workers', [aWorker()])
    rows('tasks', [{ ...task, progress: { done: 100, total: 1_000, unit: 'files', at: iso(EPOCH) } }])
    const { listeners } = watchOf('a')
    act(() => listeners.onSource!({ state: 'live', via: 'direct', publicUrl: 'http://one.example' }))
    for (const second of [1, 2, 3]) {
      await settle(1_000)
      const done = 100 + 100 * second
      act(() =>
        listeners.onProgress!({
          done,
          total: 1_000,
          unit: 'files',
          message: 'copying',
          at: iso(EPOCH + second * 1_000),
        }),
      )
    }
    const shown = document.querySelector('.taskfleet-progress.mine')!
    expect(plain(shown)).toContain('big.isoRunning40.0 %400 files / 1,000 filescopying100 files/s6 s left')
    expect(plain(shown)).toMatch(/live$/)
    expect(bar('big.iso').getAttribute('aria-valuenow')).toBe('40')
    expect(shown.querySelector('style')).toBeNull()
  })

  test('says how it ended, and why it failed', async () => {
    await show(<TaskProgress task="a" />)
    rows('tasks', [{ ...task, startedAt: iso(EPOCH - 65_000), finishedAt: iso(EPOCH - 5_000), status: 'completed' }])
    expect(plain(document.body)).toBe('big.isoCompletedin 1 m 00 s · 5 s ago')
    const error = { code: 'ENOSPC', name: 'Error', message: 'the disk is full', fingerprint: 'f1' }
    rows('tasks', [{ ...task, status: 'failed', finishedAt: iso(EPOCH), error }])
    expect(plain(document.body)).toBe('big.isoFailedthe disk is full')
    rows('tasks', [{ ...task, status: 'pending', attempt: 0, runAt: iso(EPOCH + 7_200_000) }])
    expect(plain(document.body)).toBe('big.isoPendingin 2 h 00 m')
  })

  test('says that there is no such task, and why a query was refused; trying again works', async () => {
    client.refusal = refusedWith('BAD_FILTER')
    await show(<TaskProgress task="a" />)
    expect(screen.getByRole('alert').textContent).toContain('(BAD_FILTER)')
    fireEvent.click(screen.getByRole('button', { name: 'Try again' }))
    await settle()
    rows('tasks', [])
    expect(screen.queryByRole('alert')).toBeNull()
    expect(document.body.textContent).toBe('There is no such task.')
  })

  test('marks a lost connection, a silent host and a refused connection', async () => {
    await show(<TaskProgress task="a" />)
    rows('workers', [aWorker({ heartbeatAt: iso(EPOCH - 20_000) })])
    rows('tasks', [{ ...task, progress: progress(0.5) }])
    expect(plain(document.body)).toContain('host silent 20 s')
    act(() => client.becomes('reconnecting'))
    expect(screen.getByRole('status').textContent).toBe('Reconnecting…')
    expect(document.querySelector('.taskfleet')!.hasAttribute('data-outdated')).toBe(true)
    expect(plain(document.body)).toContain('50.0 %reconnecting')
    act(() => client.becomes('refused', refusedWith('UNAUTHENTICATED')))
    expect(screen.getByRole('alert').textContent).toBe('requested by the test')
  })

  test('takes a row of the page, which needs no query of its own', async () => {
    await show(<TaskProgress task={{ ...task, progress: progress(0.5) }} />)
    expect(client.subscriptions.map(({ query }) => query.collection)).toEqual(['workers'])
    expect(bar('big.iso').getAttribute('aria-valuenow')).toBe('50')
  })

  test('escapes what is hidden in a title', async () => {
    await show(<TaskProgress task={{ ...task, title: 'cod\u202etxt.exe' }} />)
    expect(screen.getByText('cod\\u{202e}txt.exe')).toBeTruthy()
  })
})

describe('<TaskList>', () => {
  const query = { filter: { queue: 'video' }, sort: { claimedAt: 1 }, limit: 20 } as const
  const [a, b] = ['a', 'b'].map((_id) => aRow({ _id, title: `${_id}.mov`, host: 'host-a', progress: progress(0.2) }))

  test('shows the rows of its query with the columns of the page, and what to show for none', async () => {
    const customer = { key: 'customer', title: 'Customer', cell: ({ task }: LiveTask) => task.labels?.customer ?? '–' }
    const opened: string[] = []
    await show(
      <TaskList
        query={query}
        columns={['task', customer, 'progress', 'host', 'queue']}
        empty="Nothing to convert."
        onOpen={({ _id }) => opened.push(_id)}
      />,
    )
    const [asked] = client.subscriptions.filter(({ query }) => query.collection !== 'workers')
    expect(asked!.query).toMatchObject(query)
    rows('tasks', [])
    expect(screen.getByText('Nothing to convert.')).toBeTruthy()
    rows('tasks', [{ ...a!, labels: { customer: 'cus_1' } }])
    expect(screen.getAllByRole('columnheader').map(({ textContent }) => textContent)).toEqual([
      'Task',
      'Customer',
      'Progress',
      'Host',
      'Queue',
    ])
    const [row] = screen.getAllByRole('row').slice(1)
    expect(within(row!).getAllByRole('cell').map(plain)).toEqual([
      'a.mov',
      'cus_1',
      expect.stringContaining('20.0 %'),
      'host-a',
      'default',
    ])
    fireEvent.click(screen.getByRole('button', { name: 'a.mov' }))
    expect(opened).toEqual(['a'])
  })

  test('watches the rows on the screen, over what they share, and no others', async () => {
    isSeen = (element) => element.textContent?.includes('b.mov') === true
    await show(<TaskList query={query} />)
    rows('tasks', [a!, b!, { ...b!, _id: 'c', status: 'completed' }])
    expect(client.watches.filter(({ open }) => open).map(({ id }) => id)).toEqual(['b'])
    expect(client.subscriptions.filter(({ open }) => open)).toHaveLength(2)
  })

  test('renders again only the row that moves, with the page’s own rendering too', async () => {
    const rendered: string[] = []
    const renderTask = ({ task, ratio }: LiveTask) => {
      rendered.push(task._id)
      return <b>{`${task.title} ${ratio}`}</b>
    }
    await show(<TaskList query={query} renderTask={renderTask} />)
    rows('tasks', [a!, b!])
    expect(screen.getByText('a.mov 0.2')).toBeTruthy()
    rendered.length = 0
    act(() => watchOf('a').listeners.onProgress!(progress(0.7, 1)))
    expect(screen.getByText('a.mov 0.7')).toBeTruthy()
    // A stored change of one row renders no other row either.
    rows('tasks', [a!, { ...b!, rev: 2, progress: progress(0.3, 1) }])
    expect(new Set(rendered.slice(0, 2))).toEqual(new Set(['a']))
    expect(new Set(rendered.slice(2))).toEqual(new Set(['b']))
  })
})

describe('<FleetBoard>', () => {
  const task = (n: number, worker = 'w1') =>
    aRow({ _id: `t${n}`, title: `t${n}.iso`, worker, host: worker, claimedAt: iso(EPOCH - n), progress: progress(0.1) })
  const host = (name: string) => screen.getByRole('region', { name: `Host ${name}` })

  test('shows hosts with their tasks as rows, keeps each in its place, and marks silent hosts', async () => {
    await show(<FleetBoard filter={{ queue: 'video' }} />)
    expect(client.subscriptions.map(({ query }) => query.filter)).toContainEqual({ queue: 'video', status: 'running' })
    rows('workers', [aWorker(), aWorker({ _id: 'w2', name: 'host-b', heartbeatAt: iso(EPOCH - 20_000) })])
    rows('tasks', [task(1), task(2), task(3, 'w2')])
    expect(plain(host('host-a').querySelector('.taskfleet-head'))).toBe('host-a2 of 4 slotsRunning')
    expect(plain(host('host-b').querySelector('.taskfleet-head'))).toBe('host-b1 of 4 slotsSilent 20 s')
    expect(host('host-b').dataset.state).toBe('silent')
    rows('tasks', [task(2), task(3, 'w2')])
    const places = [...host('host-a').querySelector('.taskfleet-rows')!.children]
    expect(places.map((place) => (place as HTMLElement).dataset.task ?? place.textContent)).toEqual([
      'free',
      't2',
      'free',
      'free',
    ])
  })

  test('no host turns silent because the page itself is cut off', async () => {
    await show(<FleetBoard />)
    rows('workers', [aWorker()])
    rows('tasks', [])
    act(() => client.becomes('reconnecting'))
    await settle(30_000)
    expect(host('host-a').dataset.state).toBe('running')
    expect(screen.getByRole('status').textContent).toBe('Reconnecting…')
  })

  test('shows more than six tasks as cells, and the one that is pointed at as a row; the next click opens it', async () => {
    const opened: string[] = []
    await show(<FleetBoard onOpen={({ _id }) => opened.push(_id)} />)
    rows('workers', [aWorker({ slots: 20 })])
    rows(
      'tasks',
      Array.from({ length: 8 }, (_, n) => task(n)),
    )
    const cells = within(screen.getByRole('list', { name: 'Tasks of host-a' })).getAllByRole('button')
    expect(cells.map((cell) => cell.title.replaceAll('\u00a0', ' ')).slice(0, 2)).toEqual([
      't0.iso, 10.0 %',
      't1.iso, 10.0 %',
    ])
    // A tap: the pointer goes down, the cell has the focus, then comes the click.
    for (const expected of [[], ['t4']]) {
      fireEvent.pointerDown(cells[4]!)
      fireEvent.focus(cells[4]!)
      fireEvent.click(cells[4]!)
      expect(bar('t4.iso')).toBeTruthy()
      expect(opened).toEqual(expected)
    }
  })

  test('renders only the moving row, and no host with the clock or with another host’s news', async () => {
    const rendered: string[] = []
    await show(
      <FleetBoard
        renderTask={({ task }) => {
          rendered.push(task._id)
          return task.title
        }}
      />,
    )
    rows('workers', [aWorker(), aWorker({ _id: 'w2', name: 'host-b' })])
    rows('tasks', [task(1), task(2), task(3, 'w2')])
    rendered.length = 0
    act(() => watchOf('t2').listeners.onProgress!(progress(0.7, 1)))
    expect(new Set(rendered)).toEqual(new Set(['t2']))
    rendered.length = 0
    rows('tasks', [task(1), task(2), { ...task(3, 'w2'), rev: 2, progress: progress(0.2, 1) }])
    expect(new Set(rendered)).toEqual(new Set(['t3']))
  })

  test('shows the tasks of hosts that it may not see', async () => {
    await show(<FleetBoard />)
    rows('workers', [])
    rows('tasks', [task(1, 'w9')])
    expect(plain(host('w9').querySelector('.taskfleet-head'))).toBe('w91 running')
  })
})
