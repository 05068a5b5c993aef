// @vitest-environment happy-dom
import type { SetAsideRow } from '@taskfleet/protocol'
import { screen, within } from '@testing-library/react'
import { afterEach, expect, it, vi } from 'vitest'
import { FakeFleet } from '../testing/fake-fleet.ts'
import { cleanup, renderMonitor } from '../testing/render-monitor.tsx'

afterEach(cleanup)

it('shows the number of invalid documents, with links to the tasks among them', async () => {
  const fleet = new FakeFleet()
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
