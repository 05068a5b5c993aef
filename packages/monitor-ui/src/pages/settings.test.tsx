// @vitest-environment happy-dom
import { act, fireEvent, screen, waitFor } from '@testing-library/react'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { FakeFleet } from '../testing/fake-fleet.ts'
import { click, toast, withoutComplaints } from '../testing/page.ts'
import { renderMonitor } from '../testing/render-monitor.tsx'
import { anError, aTask } from '../testing/rows.ts'

let fleet: FakeFleet

beforeEach(() => {
  fleet = new FakeFleet()
  localStorage.clear()
})
afterEach(() => vi.unstubAllGlobals())
withoutComplaints()

describe('retention', () => {
  const field = (label: string) => screen.findByLabelText<HTMLInputElement>(label)
  const type = async (label: string, value: string) => fireEvent.change(await field(label), { target: { value } })

  it('is shown and changed, with errors at their field', async () => {
    fleet.welcome = { ...fleet.welcome, scopes: ['admin'] }
    await renderMonitor(fleet, '/settings')
    expect((await field('Completed')).value).toBe('30d')
    expect((await field('Failed')).value).toBe('90d')
    await type('Completed', 'soon')
    await screen.findByText('Not a duration of at least 1 s, such as 30d or 12h')
    expect(screen.getByRole<HTMLButtonElement>('button', { name: 'Save' }).disabled).toBe(true)
    await type('Completed', '7d')
    await type('Failed', '')
    await click('Save')
    await toast('Changed the retention')
    expect(fleet.sent('retention.set')).toEqual([{ completed: 7 * 86_400_000, failed: null }])
    await waitFor(async () => expect((await field('Completed')).value).toBe('7d'))
    expect((await field('Failed')).value).toBe('')
  })

  it('can’t be changed by a key that may only read, and not be read by a limited one', async () => {
    fleet.welcome = { ...fleet.welcome, scopes: ['read'] }
    await renderMonitor(fleet, '/settings')
    await screen.findByText('Changing it needs a key with admin rights.')
    expect(screen.queryByRole('button', { name: 'Save' })).toBeNull()
    fleet.refused.set('retention.show', { code: 'FORBIDDEN', message: 'A limited key may not read the retention' })
    act(() => fleet.setState('reconnecting'))
    act(() => fleet.setState('live'))
    await screen.findByText('This key may not read the retention')
  })
})

describe('notifications', () => {
  let shown: { title: string; tag: string | undefined; onclick?: () => void }[]
  let permission: NotificationPermission

  beforeEach(() => {
    shown = []
    permission = 'default'
    class FakeNotification {
      static get permission() {
        return permission
      }
      static requestPermission = async () => {
        permission = 'granted'
        return permission
      }
      onclick?: () => void
      readonly title: string
      readonly tag: string | undefined
      constructor(title: string, options?: NotificationOptions) {
        this.title = title
        this.tag = options?.tag
        shown.push(this)
      }
      close() {}
    }
    vi.stubGlobal('Notification', FakeNotification)
  })
  const hide = (state: DocumentVisibilityState) => vi.spyOn(document, 'visibilityState', 'get').mockReturnValue(state)
  const titles = () => shown.map(({ title }) => title)

  it('are allowed and chosen, and kept for this browser', async () => {
    await renderMonitor(fleet, '/settings')
    expect((await screen.findByLabelText<HTMLInputElement>(/^New errors/)).checked).toBe(false)
    await click('Allow notifications…')
    await waitFor(() => expect(screen.getByLabelText<HTMLInputElement>(/^New errors/).checked).toBe(true))
    expect(localStorage.getItem('taskfleet.notify')).toBe('errors,schedules,tasks')
    fireEvent.click(screen.getByLabelText(/^Missed schedules/))
    expect(localStorage.getItem('taskfleet.notify')).toBe('errors,tasks')
  })

  it('are shown once for each new error while the page is hidden, and open it', async () => {
    permission = 'granted'
    localStorage.setItem('taskfleet.notify', 'errors')
    fleet.putError(anError({ _id: 'old' }, Date.now()))
    const { router } = await renderMonitor(fleet, '/settings')
    await screen.findByTestId('open-errors')
    act(() => void fleet.putError(anError({ _id: 'seen' }, Date.now())))
    await waitFor(() => expect(screen.getByTestId('open-errors').textContent).toContain('2'))
    expect(titles()).toEqual([])
    hide('hidden')
    act(() => void fleet.putError(anError({ _id: 'fresh', code: 'EIO' }, Date.now())))
    await waitFor(() => expect(titles()).toEqual(['New error: EIO']))
    act(() => void fleet.putError(anError({ _id: 'fresh', code: 'EIO', count: 99, rev: 2 }, Date.now())))
    await waitFor(() => expect(fleet.rows.errors.get('fresh')?.count).toBe(99))
    expect(shown).toMatchObject([{ tag: 'taskfleet:error:fresh:0' }])
    act(() => shown[0]?.onclick?.())
    await waitFor(() => expect(router.state.location.pathname).toBe('/errors/fresh'))
  })

  it('say what begins to need somebody, once, also while hidden', async () => {
    permission = 'granted'
    localStorage.setItem('taskfleet.notify', 'urgent')
    const row = { _id: 'silent:w1', kind: 'silent', urgency: 'now', subject: 'fra-1', message: 'no sign' } as const
    const asked = vi.spyOn(fleet.attention, 'list').mockResolvedValue([])
    await renderMonitor(fleet, '/settings')
    await waitFor(() => expect(asked).toHaveBeenCalled())
    hide('hidden')
    asked.mockResolvedValue([row])
    await waitFor(() => expect(titles()).toEqual(['Needs somebody: fra-1']))
    const calls = asked.mock.calls.length
    await waitFor(() => expect(asked.mock.calls.length).toBeGreaterThan(calls))
    expect(shown).toHaveLength(1)
  })

  it('say when a watched task has ended, then forget it', async () => {
    const task = fleet.put(aTask.running({ title: 'big.iso' }, Date.now()))
    await renderMonitor(fleet, `/tasks/${task._id}`)
    await click('Notify me')
    await waitFor(() => expect(localStorage.getItem('taskfleet.watched')).toBe(task._id))
    hide('hidden')
    act(() => fleet.end(task._id, { status: 'completed' }))
    await waitFor(() => expect(titles()).toEqual(['Completed: big.iso']))
    expect(localStorage.getItem('taskfleet.watched')).toBeNull()
  })
})
