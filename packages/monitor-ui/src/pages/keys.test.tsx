// @vitest-environment happy-dom
import { act, fireEvent, screen, waitFor, within } from '@testing-library/react'
import { beforeEach, describe, expect, it } from 'vitest'
import { FakeFleet } from '../testing/fake-fleet.ts'
import { click, dialog, fill, press, withoutComplaints, wrongFields } from '../testing/page.ts'
import { renderMonitor } from '../testing/render-monitor.tsx'
import { aKey, anEvent, iso } from '../testing/rows.ts'

let fleet: FakeFleet

beforeEach(() => {
  fleet = new FakeFleet()
  fleet.welcome = { ...fleet.welcome, scopes: ['read', 'admin'] }
})
withoutComplaints()

const DAY = 86_400_000
const open = (path = '/settings') => renderMonitor(fleet, path)
const tick = (form: HTMLElement, scope: RegExp) => fireEvent.click(within(form).getByRole('checkbox', { name: scope }))
const row = (id: string) => screen.getAllByTestId('key-row').find(({ dataset }) => dataset.key === id) as HTMLElement

describe('the list of keys', () => {
  it('shows the scopes of each, valid ones first', async () => {
    const now = Date.now()
    const revoked = fleet.putKey(aKey({ name: 'gone', state: 'revoked', revokedAt: iso(now - 60_000) }, now))
    const old = fleet.putKey(aKey({ name: 'old', state: 'expired', expiresAt: iso(now - DAY) }, now))
    const good = fleet.putKey(aKey({ name: 'ci', queues: ['builds', 'tests'], names: ['compile'] }, now))
    const soon = fleet.putKey(aKey({ name: 'visitor', expiresAt: iso(now + 2 * DAY), createdAt: iso(now) }, now))
    await open()
    await waitFor(() => expect(screen.getAllByTestId('key-row')).toHaveLength(4))
    expect(screen.getAllByTestId('key-row').map(({ dataset }) => [dataset.key, dataset.state])).toEqual([
      [soon.id, 'expiring'],
      [good.id, 'good'],
      [old.id, 'expired'],
      [revoked.id, 'revoked'],
    ])
    expect(row(good.id).textContent).toContain('read, writebuilds, testscompilenever')
    expect(row(soon.id).textContent).toMatch(/Expires soon.*allallin (47.h|48.h|2.d)/)
    expect(within(row(revoked.id)).queryByRole('button')).toBeNull()
  })

  it('draws hostile names as text', async () => {
    const { id } = fleet.putKey(aKey({ name: '<img src=x onerror=alert(1)>\u202e' }, Date.now()))
    await open()
    await waitFor(() => row(id))
    expect(row(id).textContent).toContain('<img src=x onerror=alert(1)>\\u{202e}')
    expect(row(id).querySelector('img')).toBeNull()
  })

  it.each([
    ['has no admin', { scopes: ['read', 'control'] }, 'scope admin'],
    ['is limited', { scopes: ['admin'], queues: ['builds'] }, 'limited to some queues or names'],
  ])('is not for a key that %s: it says why', async (_which, may, why) => {
    fleet.welcome = { ...fleet.welcome, ...may }
    fleet.putKey(aKey())
    await open()
    await screen.findByText('This key may not manage keys')
    await screen.findByText(new RegExp(why))
    expect(screen.queryByTestId('key-row')).toBeNull()
  })

  it('is reached by its entry and by g k', async () => {
    const { router } = await open('/')
    await screen.findByRole('link', { name: 'Settings' })
    fireEvent.keyDown(document.body, { key: 'g' })
    fireEvent.keyDown(document.body, { key: 'k' })
    await waitFor(() => expect(router.state.location.pathname).toBe('/settings'))
  })
})

describe('making a key', () => {
  it('shows its token once, until the user confirms that it is stored', async () => {
    fleet.putKey(aKey({ name: 'first' }, Date.now()))
    await open()
    await click('Make a key')
    const form = await dialog()
    fill(form, 'Name', ' deploy ')
    tick(form, /^control/)
    fill(form, 'Queues', 'builds, tests,builds')
    fill(form, 'Expires', '2099-01-01T00:00:00')
    press(form, 'Make the key')
    const made = await screen.findByTestId('made-key')
    expect(fleet.sent('keys.create')).toEqual([
      {
        name: 'deploy',
        scopes: ['read', 'control'],
        queues: ['builds', 'tests'],
        expiresAt: new Date('2099-01-01T00:00:00').toISOString(),
      },
    ])
    expect(made.textContent).toMatch(/deploy: copy it now, it is not shown again\.tf_[0-9a-f]{12}_[\w-]{43}/)
    within(made).getByRole('button', { name: 'Copy the key' })
    await waitFor(() => expect(screen.queryByRole('dialog')).toBeNull())
    press(made, 'I have stored it')
    await waitFor(() => expect(screen.queryByTestId('made-key')).toBeNull())
    expect(document.body.textContent).not.toContain('tf_')
  })

  it('shows errors at their field, the page’s and the gateway’s', async () => {
    fleet.putKey(aKey())
    await open()
    await click('Make a key')
    const form = await dialog()
    tick(form, /^read/)
    fill(form, 'Expires', '2001-01-01T00:00:00')
    press(form, 'Make the key')
    expect(await wrongFields(form)).toEqual(['name', 'scopes', 'expiresAt'])
    expect(document.activeElement?.getAttribute('name')).toBe('name')
    fill(form, 'Name', 'ci')
    fill(form, 'Queues', 'other')
    fill(form, 'Expires', '')
    tick(form, /^worker/)
    fleet.refuseNext = { code: 'BAD_QUEUE', message: 'This is no queue', field: 'queues.0' }
    press(form, 'Make the key')
    await waitFor(() => expect(within(form).getByRole('alert').textContent).toBe('This is no queue'))
    expect(screen.queryByTestId('made-key')).toBeNull()
  })

  it('locks a fleet without keys, explains it, and continues with the new key', async () => {
    const { connected, kept } = await open()
    await screen.findByText('There is no key yet')
    await click('Make a key')
    const form = await dialog()
    expect(form.textContent).toContain('The first key locks the fleet')
    fill(form, 'Name', 'boss')
    tick(form, /^admin/)
    fill(form, 'Queues', 'builds')
    press(form, 'Make the key')
    expect(await wrongFields(form)).toEqual(['scopes', 'queues'])
    expect(fleet.written).toEqual([])
    tick(form, /^admin/)
    fill(form, 'Queues', '')
    press(form, 'Make the key')
    const made = await screen.findByTestId('made-key')
    const token = /tf_[0-9a-f]{12}_[\w-]{43}(?=I have)/.exec(made.textContent ?? '')?.[0]
    await waitFor(() => expect(connected).toEqual(['tf_test', token]))
    expect(kept).toEqual([token])
    // What the new key may is not known yet: the token must not be lost meanwhile.
    const { welcome } = fleet
    Object.assign(fleet, { welcome: undefined })
    await screen.findByText('Loading…')
    expect(screen.getByTestId('made-key').textContent).toContain(token)
    Object.assign(fleet, { welcome })
    act(() => fleet.setState('live'))
    await screen.findByTestId('key-row')
    screen.getByTestId('made-key')
  })
})

describe('an existing key', () => {
  it('gets only the changes, and null removes a limit', async () => {
    const key = fleet.putKey(aKey({ queues: ['builds'], expiresAt: iso(Date.now() + 30 * DAY) }, Date.now()))
    await open()
    await click('Edit ci')
    const form = await dialog()
    fill(form, 'Queues', '')
    tick(form, /^control/)
    press(form, 'Save')
    await waitFor(() =>
      expect(fleet.sent('keys.edit')).toEqual([
        { id: key.id, changes: { scopes: ['read', 'write', 'control'], queues: null } },
      ]),
    )
    await waitFor(() => expect(row(key.id).textContent).toContain('read, write, control'))
  })

  it('is not sent where nothing was changed', async () => {
    fleet.putKey(aKey({ expiresAt: iso(Date.now() - DAY), state: 'expired' }, Date.now()))
    await open()
    await click('Edit ci')
    press(await dialog(), 'Save')
    await waitFor(() => expect(screen.queryByRole('dialog')).toBeNull())
    expect(fleet.written).toEqual([])
  })

  it('is revoked after a confirmation that explains the effect', async () => {
    const key = fleet.putKey(aKey({}, Date.now()))
    await open()
    await click('Revoke ci')
    const form = await dialog()
    expect(form.textContent).toContain('cut off within a second')
    expect(form.textContent).not.toContain('This page uses this key')
    press(form, 'Revoke it')
    await waitFor(() => expect(row(key.id).dataset.state).toBe('revoked'))
    expect(fleet.sent('keys.revoke')).toEqual([{ id: key.id }])
  })
})

describe('a right that was lost', () => {
  const refusal = 'A key that is limited to queues or names may not read events'
  const opened = async () => {
    fleet.putEvent(anEvent.finished({ name: 'Divide' }, Date.now()))
    await open('/events')
    await screen.findByTestId('event')
  }

  it('removes the rows and shows the error, instead of old rows', async () => {
    await opened()
    act(() => fleet.loseRight('events', refusal))
    const alert = await screen.findByRole('alert')
    expect(alert.querySelector('p')?.textContent).toBe(
      `This key is no longer allowed to see this: ${refusal} FORBIDDEN`,
    )
    within(alert).getByRole('button', { name: 'Try again' })
    await waitFor(() => expect(screen.queryByTestId('event')).toBeNull())
    expect(screen.queryByText('Loading…')).toBeNull()
  })

  it('is seen to be back with the next connection', async () => {
    await opened()
    act(() => fleet.loseRight('events', refusal))
    await screen.findByRole('alert')
    act(() => fleet.setState('reconnecting'))
    act(() => fleet.setState('live'))
    await screen.findByTestId('event')
  })
})
