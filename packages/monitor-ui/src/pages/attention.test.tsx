// @vitest-environment happy-dom
import type { AttentionRow } from '@taskfleet/protocol'
import { screen, within } from '@testing-library/react'
import { afterEach, expect, it, vi } from 'vitest'
import { FakeFleet } from '../testing/fake-fleet.ts'
import { cleanup, renderMonitor } from '../testing/render-monitor.tsx'

afterEach(cleanup)

const shown = () => screen.findByRole('region', { name: 'What needs somebody' })

it('says that all is well', async () => {
  const fleet = new FakeFleet()
  vi.spyOn(fleet.attention, 'list').mockResolvedValue([])
  await renderMonitor(fleet, '/')
  expect((await shown()).textContent).toBe('All is well')
})

it('lists what needs somebody, each with a link to its cause', async () => {
  const fleet = new FakeFleet()
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
  const fleet = new FakeFleet()
  fleet.refused.set('attention.list', { code: 'QUERY_TOO_SLOW', message: 'the database is busy' })
  await renderMonitor(fleet, '/')
  await screen.findByText(/can't be read now: the database is busy/)
  expect(screen.queryByText('All is well')).toBeNull()
})
