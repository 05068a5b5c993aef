import './testing/give-page.ts'
import { FleetClient } from '@taskfleet/client'
import { LOOPBACK, ownQueue, startGateway, startProxy } from '@taskfleet/testkit/fleet/test-sockets'
import { eventually, useFleet } from '@taskfleet/testkit/fleet/use-fleet'
import { cleanup, render, renderHook } from '@testing-library/react'
import { type ReactNode, StrictMode } from 'react'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { FleetBoard, FleetProvider, TaskList, TaskProgress, useLiveQuery, useStats, useTask } from './index.ts'

/** What React asks of those who change something outside of `act`, as a gateway does. */
const scope = globalThis as { IS_REACT_ACT_ENVIRONMENT?: boolean }

describe('the hooks on a real gateway', () => {
  const fleet = useFleet()
  beforeEach(() => {
    scope.IS_REACT_ACT_ENVIRONMENT = false
  })
  afterEach(cleanup)

  function around(url: string) {
    const client = new FleetClient({ url })
    fleet.cleanup(() => client.close())
    return ({ children }: { children: ReactNode }) => (
      <StrictMode>
        <FleetProvider client={client}>{children}</FleetProvider>
      </StrictMode>
    )
  }

  function show<Result>(url: string, hook: () => Result) {
    return renderHook(hook, { wrapper: around(url) })
  }

  test('rows and figures follow the fleet through a lost connection, and leave nothing behind', async () => {
    const queue = ownQueue()
    const gateway = await startGateway(fleet, { lingerMs: 0 })
    const proxy = await startProxy(fleet, gateway.url!)
    const { result, unmount } = show(proxy.url, () => ({
      tasks: useLiveQuery({ filter: { queue }, sort: { _id: 1 } }),
      figures: useStats({ queue }),
    }))
    await eventually(() => result.current.tasks.live && result.current.figures.live)
    expect(gateway.load.rooms).toBe(2)
    const first = await fleet.post([], { queue })
    await eventually(() => result.current.tasks.rows.length === 1)
    await eventually(() => result.current.figures.stats?.byStatus.pending === 1)
    const [before] = result.current.tasks.rows
    expect(before?._id).toBe(first._id.toHexString())
    proxy.cut()
    await eventually(() => !result.current.tasks.live)
    await eventually(() => result.current.tasks.live && result.current.figures.live)
    await fleet.post([], { queue })
    await eventually(() => result.current.tasks.rows.length === 2)
    await eventually(() => result.current.figures.stats?.byStatus.pending === 2)
    expect(result.current.tasks.rows[0]).toBe(before)
    unmount()
    await eventually(() => gateway.load.rooms === 0)
  })

  test('a task is followed on its own socket, asked, and cancelled', async () => {
    const queue = ownQueue()
    const runner = await fleet.runner({ queue, listen: LOOPBACK })
    const task = await fleet.post(
      [{ do: 'progress', done: 1, total: 4 }, { do: 'log', message: 'a line' }, { do: 'waitForAbort' }],
      { queue },
    )
    const { result } = show(runner.url!, () => useTask(task._id.toHexString()))
    await eventually(() => result.current.source.state === 'live' && result.current.log.length === 1)
    expect(result.current).toMatchObject({
      task: { status: 'running' },
      progress: { done: 1, total: 4 },
      log: [{ message: 'a line' }],
      end: undefined,
    })
    await expect(result.current.message('echo', 5)).resolves.toBe(5)
    await result.current.cancel('seen enough')
    await eventually(() => result.current.task?.status === 'cancelled' && result.current.end)
    expect(result.current.end).toMatchObject({ status: 'cancelled' })
  })

  test('a board, a list and one task are live from the host, share its connection, and say that it was lost', async () => {
    const queue = ownQueue()
    const runner = await fleet.runner({ queue, listen: LOOPBACK })
    const proxy = await startProxy(fleet, runner.url!)
    const task = await fleet.post([{ do: 'progress', done: 1, total: 4 }, { do: 'waitForAbort' }], { queue })
    const id = task._id.toHexString()
    const { container, unmount } = render(
      <>
        <FleetBoard filter={{ queue }} />
        <TaskList query={{ filter: { queue } }} />
        <TaskProgress task={id} />
      </>,
      { wrapper: around(proxy.url) },
    )
    const bars = () =>
      [...container.querySelectorAll('[role=progressbar]')].map((bar) => bar.getAttribute('aria-valuenow'))
    const sources = () => [...container.querySelectorAll('[data-task]')].map((row) => row.getAttribute('data-source'))
    await eventually(() => sources().join() === 'live,live,live')
    await eventually(() => bars().join() === '25,25,25')
    proxy.cut()
    await eventually(() => sources().join() === 'reconnecting,reconnecting,reconnecting')
    await eventually(() => sources().join() === 'live,live,live')
    await fleet.fleet.store.cancel(task._id, 'test')
    await eventually(() => container.querySelector('.taskfleet-progress')!.textContent?.includes('Cancelled'))
    unmount()
  })

  test('a refused query says why', async () => {
    const gateway = await startGateway(fleet)
    const { result } = show(gateway.url!, () => useLiveQuery({ filter: { $where: '1' } }))
    await eventually(() => result.current.error)
    expect(result.current.error).toMatchObject({ code: 'BAD_FILTER' })
  })
})
