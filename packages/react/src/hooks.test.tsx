// @vitest-environment happy-dom

import type { RowsReason } from '@taskfleet/client'
import { applyDelta, type Delta, type FleetError, type TaskRow } from '@taskfleet/protocol'
import { act, cleanup, renderHook } from '@testing-library/react'
import { type ReactNode, StrictMode } from 'react'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import {
  FleetProvider,
  useAttention,
  useConnection,
  useFleetClient,
  useHeldRows,
  useLiveQuery,
  useServerTime,
  useStats,
  useTask,
} from './index.ts'
import { aRow, FakeClient, refusedWith, someStats } from './testing/fake-client.ts'

let client: FakeClient
let complaints: unknown[][]

beforeEach(() => {
  vi.useFakeTimers()
  client = new FakeClient()
  settings = {}
  complaints = []
  vi.spyOn(console, 'error').mockImplementation((...said) => void complaints.push(said))
})
afterEach(async () => {
  cleanup()
  await act(() => vi.advanceTimersByTimeAsync(10 + (settings.lingerMs ?? 0)))
  expect(client.open).toBe(0)
  vi.restoreAllMocks()
  vi.useRealTimers()
  expect(complaints).toEqual([])
})

let settings: Omit<Parameters<typeof FleetProvider>[0], 'client'>
const around = ({ children }: { children: ReactNode }) => (
  <StrictMode>
    <FleetProvider client={client.api} {...settings}>
      {children}
    </FleetProvider>
  </StrictMode>
)

async function show<Result, Props>(hook: (props: Props) => Result, initialProps?: Props) {
  const shown = renderHook(hook, { wrapper: around, ...(initialProps === undefined ? {} : { initialProps }) })
  await settle()
  return shown
}
const settle = (ms = 10): Promise<void> => act(async () => void (await vi.advanceTimersByTimeAsync(ms)))

/** A gateway's end of the latest subscription. */
function rowsOf(at = -1) {
  const { listener } = client.subscriptions.at(at)!
  let rows: readonly TaskRow[] = []
  return {
    replace: (next: TaskRow[], reason: RowsReason = 'snapshot') =>
      act(() => {
        rows = next
        listener(rows, null, reason)
      }),
    change: (delta: Partial<Delta<TaskRow>>) =>
      act(() => {
        const whole = { added: [], changed: [], removed: [], ...delta }
        rows = applyDelta(rows, whole)
        listener(rows, whole, 'delta')
      }),
  }
}

const a = aRow({ _id: 'a' })
const b = aRow({ _id: 'b' })

describe('useLiveQuery', () => {
  test('gives the rows as they are and come, and closes when it is unmounted', async () => {
    const { result, unmount } = await show(() => useLiveQuery({ filter: { status: 'running' } }))
    expect(result.current).toMatchObject({ rows: [], loaded: false, live: false, error: undefined, reason: undefined })
    // StrictMode mounts twice and needs one subscription.
    expect(client.subscriptions).toHaveLength(1)
    rowsOf().replace([a])
    expect(result.current).toMatchObject({ rows: [a], loaded: true, live: true, error: undefined, reason: 'snapshot' })
    unmount()
    await settle()
    expect(client.open).toBe(0)
  })

  test('keeps the objects of unchanged rows, after a delta or a snapshot', async () => {
    const { result } = await show(() => useLiveQuery({}))
    const gateway = rowsOf()
    gateway.replace([a, b])
    const first = result.current.rows
    gateway.change({ changed: [{ row: { ...b, rev: 2 }, index: 1 }] })
    expect(result.current.rows[0]).toBe(first[0])
    expect(result.current.rows[1]).not.toBe(first[1])
    const second = result.current.rows
    // A row that only changed places is the same row.
    gateway.change({ changed: [{ row: { ...b, rev: 2 }, index: 0 }] })
    expect(result.current.rows.map((row) => second.indexOf(row))).toEqual([1, 0])
    const third = result.current.rows
    gateway.replace(structuredClone([...third]), 'SLOW_CONSUMER')
    expect(result.current.rows).toBe(third)
    expect(result.current.reason).toBe('SLOW_CONSUMER')
  })

  test('of ten thousand rows a delta makes those new that it names, and compares no others, also after a lost connection', async () => {
    const { result } = await show(() => useLiveQuery({ limit: 10_000 }))
    const gateway = rowsOf()
    const rows = Array.from({ length: 10_000 }, (_, index) => aRow({ _id: `row-${index}` }))
    gateway.replace(rows)
    gateway.replace(structuredClone(rows), 'resync')
    const known = new Set(result.current.rows)
    const compared = vi.spyOn(JSON, 'stringify')
    gateway.change({
      added: [{ row: aRow({ _id: 'new' }), index: 0 }],
      changed: [{ row: aRow({ _id: 'row-5000', rev: 2 }), index: 5_001 }],
      removed: ['row-9999'],
    })
    expect(compared.mock.calls.length).toBeLessThan(10)
    expect(result.current.rows).toHaveLength(10_000)
    expect(result.current.rows.filter((row) => !known.has(row)).map(({ _id }) => _id)).toEqual(['new', 'row-5000'])
  })

  test('shares one subscription between components that ask the same', async () => {
    const one = { filter: { status: 'running' }, sort: { priority: -1 } } as const
    const other = { collection: 'tasks', sort: { priority: -1 }, filter: { status: 'running' } } as const
    const { result } = await show(() => [useLiveQuery(one), useLiveQuery(other)])
    expect(client.subscriptions).toHaveLength(1)
    rowsOf().replace([a])
    expect(result.current[0]?.rows).toBe(result.current[1]?.rows)
  })

  test('asks anew when the content of the query changes, and not when only the object is new', async () => {
    const { result, rerender } = await show(({ status }) => useLiveQuery({ filter: { status } }), { status: 'running' })
    rowsOf().replace([a])
    rerender({ status: 'running' })
    await settle()
    expect(client.subscriptions).toHaveLength(1)
    rerender({ status: 'failed' })
    // Rows of another query are never shown as those of this one.
    expect(result.current).toMatchObject({ rows: [], live: false })
    await settle()
    expect(client.subscriptions.map(({ query, open }) => [query.filter, open])).toEqual([
      [{ status: 'running' }, false],
      [{ status: 'failed' }, true],
    ])
  })

  test('tells apart sorts by the same fields in another order', async () => {
    await show(() => [useLiveQuery({ sort: { name: 1, rev: 1 } }), useLiveQuery({ sort: { rev: 1, name: 1 } })])
    expect(client.subscriptions).toHaveLength(2)
  })

  test('is not live while the connection is down, nor before the missed changes have arrived', async () => {
    const { result } = await show(() => useLiveQuery({}))
    const gateway = rowsOf()
    gateway.replace([a])
    act(() => client.becomes('reconnecting'))
    expect(result.current).toMatchObject({ rows: [a], live: false })
    act(() => client.becomes('live'))
    expect(result.current.live).toBe(false)
    gateway.change({})
    expect(result.current).toMatchObject({ rows: [a], live: true, reason: 'delta' })
  })

  test('shows the error of a refused query, and does not repeat it', async () => {
    client.refusal = refusedWith('BAD_FILTER')
    const { result } = await show(() => useLiveQuery({ filter: { $where: '1' } }))
    expect(result.current).toMatchObject({ rows: [], live: false, error: { code: 'BAD_FILTER' } })
    await settle(60_000)
    expect(client.subscriptions).toHaveLength(0)
  })

  test('retries temporary errors', async () => {
    client.refusal = refusedWith('INTERNAL')
    const { result } = await show(() => useLiveQuery({}))
    expect(result.current.error).toMatchObject({ code: 'INTERNAL' })
    await settle(3_000)
    rowsOf().replace([a])
    expect(result.current).toMatchObject({ rows: [a], live: true, error: undefined })
  })

  test('waits longer after each failure, and tries at once on request', async () => {
    const subscribe = vi.spyOn(client, 'subscribe').mockRejectedValue(refusedWith('TOO_MANY_SUBSCRIPTIONS'))
    const { result } = await show(() => useLiveQuery({}))
    await settle(8_000)
    // At 0, about 1, 3 and 7 s.
    expect(subscribe).toHaveBeenCalledTimes(4)
    subscribe.mockRestore()
    expect(result.current.error).toMatchObject({ code: 'TOO_MANY_SUBSCRIPTIONS' })
    act(() => result.current.tryAgain())
    await settle()
    rowsOf().replace([a])
    expect(result.current).toMatchObject({ rows: [a], error: undefined })
  })

  test('can be tried again by hand where it is not by itself', async () => {
    client.refusal = refusedWith('BAD_FILTER')
    const { result } = await show(() => useLiveQuery({ filter: {} }))
    await settle(60_000)
    act(() => result.current.tryAgain())
    await settle()
    rowsOf().replace([a])
    expect(result.current).toMatchObject({ rows: [a], live: true, error: undefined })
  })

  test('opens nothing for a component that has gone before the answer', async () => {
    const { unmount } = renderHook(() => useLiveQuery({}), { wrapper: around })
    unmount()
    await settle()
    expect(client.open).toBe(0)
  })
})

describe('useTask', () => {
  test('joins the row with the state of its own socket', async () => {
    const { result } = await show(() => useTask('a'))
    const { listeners } = client.watches[0]!
    expect(client.watches).toHaveLength(1)
    expect(result.current).toMatchObject({ task: undefined, log: [], source: { state: 'waiting' } })
    const stored = { ratio: 0.1, at: '2027-01-01T00:00:01.000Z' }
    act(() => listeners.onTask!({ ...a, progress: stored }))
    expect(result.current.progress).toBe(stored)
    const told = { ratio: 0.5, at: '2027-01-01T00:00:05.000Z' }
    act(() => {
      listeners.onSource!({ state: 'live', via: 'direct', publicUrl: 'http://one.example' })
      listeners.onProgress!(told)
      listeners.onLog!({ seq: 1, at: told.at, level: 'info', message: 'half' })
      // The database is behind the socket.
      listeners.onTask!({ ...a, rev: 2, progress: stored })
    })
    expect(result.current).toMatchObject({ progress: told, source: { via: 'direct' }, log: [{ message: 'half' }] })
    act(() => listeners.onTask!({ ...a, attempt: 2, progress: stored }))
    expect(result.current.progress).toBe(stored)
  })

  test('has the end, and removes it once the task waits again', async () => {
    const { result } = await show(() => useTask('a'))
    const { listeners } = client.watches[0]!
    act(() => {
      listeners.onTask!(a)
      // The socket is ahead of the database here too.
      listeners.onEnd!({ status: 'completed', output: 42 })
      listeners.onTask!({ ...a, rev: 2 })
    })
    expect(result.current.end).toEqual({ status: 'completed', output: 42 })
    act(() => listeners.onTask!({ ...a, status: 'completed' }))
    expect(result.current.end).toEqual({ status: 'completed', output: 42 })
    act(() => listeners.onTask!({ ...a, status: 'pending' }))
    expect(result.current.end).toBeUndefined()
    act(() => listeners.onTask!({ ...a, status: 'completed', output: 43 }))
    expect(result.current.end).toEqual({ status: 'completed', output: 43 })
  })

  test('cancels with a reason, and throws if it could not', async () => {
    const { result } = await show(() => useTask('a'))
    await act(() => result.current.cancel('enough'))
    expect(client.cancelled).toEqual([{ id: 'a', reason: 'enough' }])
    client.refusal = refusedWith('ALREADY_ENDED')
    await expect(result.current.cancel()).rejects.toMatchObject({ code: 'ALREADY_ENDED' })
    client.refusal = undefined
    await expect(result.current.message('rate', 5)).resolves.toEqual({ name: 'rate', data: 5 })
  })

  test('keeps the last thousand lines', async () => {
    const { result } = await show(() => useTask('a'))
    const { listeners } = client.watches[0]!
    act(() => {
      for (let seq = 1; seq <= 1_010; seq += 1) listeners.onLog!({ seq, at: '', level: 'info', message: '' })
    })
    expect([result.current.log.length, result.current.log[0]?.seq]).toEqual([1_000, 11])
  })

  test('shows why a task can not be watched', async () => {
    client.refusal = refusedWith('BAD_ID')
    const { result } = await show(() => useTask('nonsense'))
    expect(result.current.error).toMatchObject({ code: 'BAD_ID' })
    await expect(result.current.message('rate')).rejects.toMatchObject({ code: 'NOT_CONNECTED' })
  })
})

describe('useTask with the row of a page', () => {
  const at = (seconds: number) => ({ ratio: 0.1, at: `2027-01-01T00:00:0${seconds}.000Z` })

  test('follows the rows of the page and needs no query, however many tasks there are', async () => {
    settings = { watchedAtMost: 1 }
    const rows = ['a', 'b', 'c'].map((_id) => aRow({ _id, rev: 3, progress: at(1) }))
    const { result, rerender, unmount } = await show(({ seen }) => seen.map((row) => useTask(row._id, { row })), {
      seen: rows,
    })
    expect(client.watches.map(({ id, rows: given }) => [id, given])).toEqual(rows.map((row) => [row._id, [row]]))
    expect(client.subscriptions).toEqual([])
    act(() => {
      client.watches[1]!.listeners.onSource!({ state: 'live', via: 'relay', publicUrl: 'http://one.example' })
      client.watches[1]!.listeners.onProgress!(at(5))
    })
    expect(result.current.map(({ progress }) => progress)).toEqual([at(1), at(5), at(1)])
    expect(result.current[1]).toMatchObject({ source: { via: 'relay' }, task: rows[1], log: [] })
    // Lines and events are for those who show them.
    expect(client.watches[0]!.listeners).not.toHaveProperty('onLog')
    // A later row is passed on; an older one, of another view, is not.
    const [a, b, c] = rows as [TaskRow, TaskRow, TaskRow]
    const later = { ...a, rev: 4, attempt: 2 }
    rerender({ seen: [later, { ...b, rev: 2 }, c] })
    await settle()
    expect(client.watches.map(({ rows: given }) => given.length)).toEqual([2, 1, 1])
    expect(client.watches[0]!.rows.at(-1)).toBe(later)
    unmount()
    await settle()
    expect(client.open).toBe(0)
  })
})

describe('useStats', () => {
  test('gives the figures of a filter, shared, and asks anew with another one', async () => {
    const { result, rerender } = await show(({ queue }) => [useStats({ queue }), useStats({ queue })], { queue: 'a' })
    expect(client.figures.map(({ request }) => request)).toEqual([{ filter: { queue: 'a' } }])
    act(() => client.figures[0]!.listener(someStats(3)))
    expect(result.current).toMatchObject([{ stats: someStats(3), live: true }, { stats: someStats(3) }])
    rerender({ queue: 'b' })
    await settle()
    expect(client.figures.map(({ request, open }) => [request.filter?.queue, open])).toEqual([
      ['a', false],
      ['b', true],
    ])
  })

  test('is not live until the figures come again after a lost connection', async () => {
    const { result } = await show(() => useStats())
    expect(result.current).toMatchObject({ stats: someStats(0), live: true })
    act(() => client.becomes('reconnecting'))
    act(() => client.becomes('live'))
    expect(result.current.live).toBe(false)
    act(() => client.figures[0]!.listener(someStats(1)))
    expect(result.current).toMatchObject({ stats: someStats(1), live: true })
  })
})

describe('useAttention', () => {
  test('gives the rows to all who show them, and keeps the last known ones with the reason when they can not be read', async () => {
    const { result, unmount } = await show(() => [useAttention(), useAttention()])
    expect(client.alarms).toHaveLength(1)
    expect(result.current).toMatchObject([{ rows: [], loaded: true, live: true }, { rows: [] }])
    const row = { _id: '1', kind: 'weak', urgency: 'soon', subject: 'secret', message: 'set one' } as const
    act(() => client.alarms[0]!.listener([row], undefined))
    expect(result.current[1]).toMatchObject({ rows: [row], live: true })
    act(() => client.alarms[0]!.listener([row], refusedWith('QUERY_TOO_SLOW')))
    expect(result.current[0]).toMatchObject({ rows: [row], live: false, error: { code: 'QUERY_TOO_SLOW' } })
    act(() => client.alarms[0]!.listener([], undefined))
    expect(result.current[0]).toMatchObject({ rows: [], live: true, error: undefined })
    unmount()
    await settle()
    expect(client.open).toBe(0)
  })
})

describe('the options of a provider', () => {
  test('a view stays open for a moment after the last who showed it, for the next page that asks the same', async () => {
    settings = { lingerMs: 1_000 }
    const { rerender } = await show(({ status }) => useLiveQuery({ filter: { status } }), { status: 'running' })
    rerender({ status: 'failed' })
    await settle(500)
    rerender({ status: 'running' })
    await settle(5_000)
    expect(client.subscriptions.map(({ query, open }) => [query.filter, open])).toEqual([
      [{ status: 'running' }, true],
      [{ status: 'failed' }, false],
    ])
  })

  test('what changes within a frame is one rendering', async () => {
    settings = { frameMs: 50 }
    let rendered = 0
    const { result } = await show(() => {
      rendered += 1
      return [useLiveQuery({ limit: 1 }), useLiveQuery({ limit: 2 })]
    })
    const before = rendered
    for (const at of [0, 1, 0, 1]) rowsOf(at).replace([aRow({ _id: `row-${at}` })])
    expect(rendered).toBe(before)
    await settle(60)
    // StrictMode renders twice.
    expect(rendered).toBe(before + 2)
    expect(result.current.map(({ rows }) => rows[0]?._id)).toEqual(['row-0', 'row-1'])
  })

  test('no more tasks are watched than it allows; a freed place is for the next in line', async () => {
    settings = { watchedAtMost: 2 }
    const { rerender } = await show(
      ({ seen }) => ['a', 'b', 'c', 'd'].map((id) => useTask(id, { watch: seen.includes(id) })),
      { seen: ['a', 'b', 'c'] },
    )
    const open = () => client.watches.filter((watch) => watch.open).map(({ id }) => id)
    expect(open()).toEqual(['a', 'b'])
    // One that stops waiting takes no place.
    rerender({ seen: ['a', 'b', 'd'] })
    await settle()
    rerender({ seen: ['b', 'd'] })
    await settle()
    expect(open()).toEqual(['b', 'd'])
  })
})

describe('useConnection', () => {
  test('says how it is, since when, and why it is refused', async () => {
    const { result } = await show(() => useConnection())
    expect(result.current).toMatchObject({ state: 'live', error: undefined })
    await settle(5_000)
    act(() => client.becomes('refused', refusedWith('UNAUTHENTICATED')))
    expect(result.current).toMatchObject({ state: 'refused', error: { code: 'UNAUTHENTICATED' }, since: Date.now() })
  })
})

describe('useServerTime', () => {
  test('is the server’s, and renders only what reads something else than before', async () => {
    vi.setSystemTime('2027-01-01T00:00:50.000Z')
    client.clockOffset = 3_600_000
    let rendered = 0
    const { result } = await show(() => {
      rendered += 1
      return useServerTime((now) => new Date(now).toISOString().slice(0, 16))
    })
    expect(result.current).toBe('2027-01-01T01:00')
    const before = rendered
    await settle(5_000)
    expect(rendered).toBe(before)
    await settle(6_000)
    expect(result.current).toBe('2027-01-01T01:01')
  })
})

describe('useHeldRows', () => {
  test('keeps rows in their places while they are held, until they are applied', async () => {
    const { result, rerender } = await show(({ rows, held }) => useHeldRows('q', rows, held), {
      rows: [a],
      held: false,
    })
    rerender({ rows: [a], held: true })
    rerender({ rows: [b, a], held: true })
    expect(result.current).toMatchObject({ rows: [{ row: a }], entered: 1 })
    act(() => result.current.apply())
    expect(result.current).toMatchObject({ rows: [{ row: b }, { row: a }], entered: 0 })
  })
})

test('the client is at hand for commands, and without a provider the hooks say what is missing', async () => {
  const { result } = await show(() => useFleetClient())
  expect(result.current).toBe(client.api)
  expect(() => renderHook(() => useFleetClient())).toThrow('<FleetProvider')
  complaints = []
})

describe('a right that was lost', () => {
  const becameRefused = async (refused: ((error: FleetError) => void) | undefined, opened: { open: boolean }) => {
    // What is refused is closed already, as a client does it.
    opened.open = false
    act(() => refused?.(refusedWith('FORBIDDEN')))
    await settle()
  }

  test('takes the rows and says why; the next connection asks again', async () => {
    const { result } = await show(() => useLiveQuery({ filter: { status: 'running' } }))
    rowsOf().replace([a])
    const [first] = client.subscriptions
    await becameRefused(first!.refused, first!)
    expect(result.current).toMatchObject({ rows: [], live: false, error: { code: 'FORBIDDEN' } })
    act(() => client.becomes('reconnecting'))
    act(() => client.becomes('live'))
    await settle()
    expect(client.subscriptions).toHaveLength(2)
    rowsOf().replace([b])
    expect(result.current).toMatchObject({ rows: [b], live: true, error: undefined })
  })

  test('takes figures and a watched task as well', async () => {
    const figures = await show(() => useStats())
    const task = await show(() => useTask('a'))
    act(() => client.watches[0]!.listeners.onTask?.(a))
    await becameRefused(client.figures[0]!.refused, client.figures[0]!)
    await becameRefused(client.watches[0]!.listeners.onRefused, client.watches[0]!)
    expect(figures.result.current).toMatchObject({ stats: undefined, live: false, error: { code: 'FORBIDDEN' } })
    expect(task.result.current).toMatchObject({ task: undefined, error: { code: 'FORBIDDEN' } })
  })
})
