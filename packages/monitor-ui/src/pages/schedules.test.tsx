// @vitest-environment happy-dom
import { act, fireEvent, screen, waitFor, within } from '@testing-library/react'
import { beforeEach, describe, expect, it } from 'vitest'
import { FakeFleet } from '../testing/fake-fleet.ts'
import { click, dialog, fill, press, toast, withoutComplaints, wrongFields } from '../testing/page.ts'
import { renderMonitor } from '../testing/render-monitor.tsx'
import { aSchedule, aTask, aWorker, iso } from '../testing/rows.ts'

let fleet: FakeFleet

beforeEach(() => {
  fleet = new FakeFleet()
  fleet.putWorker(aWorker({ tasks: ['report@1', 'sync@2'] }, Date.now()))
})
withoutComplaints()

const open = (path = '/schedules') => renderMonitor(fleet, path)
const card = () => screen.findByTestId('schedule')

describe('the list of schedules', () => {
  it('shows that there is none', async () => {
    await open()
    await screen.findByText('There are no schedules yet')
  })

  it('shows the cron in words, the next run as a countdown, and how the last one is, as they change', async () => {
    const task = fleet.put(
      aTask.running({ name: 'report', schedule: 'nightly', runAt: iso(Date.now() - 120_000) }, Date.now()),
    )
    const nightly = fleet.putSchedule(
      aSchedule({ lastTask: task._id, lastSlot: iso(Date.now() - 120_000) }, Date.now()),
    )
    await open()
    const row = await card()
    expect(row.textContent).toContain('At 03:30')
    expect(row.textContent).toContain('30 3 * * * Europe/Berlin')
    expect(screen.getByTestId('countdown').textContent).toMatch(/^in 1.m.(29|30).s$/)
    await waitFor(() => expect(row.textContent).toMatch(/Running2.m ago/))
    expect(within(row).getByRole('link', { name: task._id }).getAttribute('href')).toBe(`/tasks/${task._id}`)
    act(() => void fleet.put({ ...task, status: 'completed', rev: task.rev + 1 }))
    await waitFor(() => expect(row.textContent).toContain('Completed'))
    const { nextAt: _, ...over } = nightly
    act(() => void fleet.putSchedule({ ...over, rev: 2, lastSkipped: { slot: iso(Date.now()), reason: 'OVERLAP' } }))
    await waitFor(() => expect(row.dataset.state).toBe('over'))
    expect(row.textContent).toContain('the last task was still running')
  })

  it('is narrowed by name, which the address keeps', async () => {
    fleet.putSchedule(aSchedule({}, Date.now()))
    fleet.putSchedule(aSchedule({ _id: 'hourly' }, Date.now()))
    const { router } = await open('/schedules?name=night')
    expect((await screen.findAllByTestId('schedule')).map((row) => row.dataset.schedule)).toEqual(['nightly'])
    fireEvent.change(screen.getByLabelText('Name of the schedule'), { target: { value: 'x' } })
    await screen.findByText('No schedule has this name')
    expect(router.state.location.searchStr).toBe('?name=x')
  })

  it('draws hostile text as text', async () => {
    fleet.putSchedule(aSchedule({ _id: '<b>n</b>', cron: '<img src=x> a\u202eb' }, Date.now()))
    await open()
    const row = await card()
    expect(row.textContent).toContain('<b>n</b>')
    expect(row.textContent).toContain('a\\u{202e}b')
    expect(row.querySelector('b, img')).toBeNull()
  })

  it('offers no commands to a key that may only read', async () => {
    fleet.welcome = { ...fleet.welcome, scopes: ['read'] }
    fleet.putSchedule(aSchedule({}, Date.now()))
    await open()
    expect(within(await card()).queryAllByRole('button')).toEqual([])
    expect(screen.queryByRole('button', { name: 'New schedule' })).toBeNull()
  })

  it('has what runs in the next 24 hours, many runs as one line, and what was missed', async () => {
    const now = Date.now()
    const { cron: _, ...row } = aSchedule({ _id: 'tick', every: 300_000, nextAt: iso(now + 60_000) }, now)
    fleet.putSchedule(row)
    fleet.putSchedule(aSchedule({ _id: 'quarters', cron: '*/15 * * * *' }, now))
    fleet.putSchedule(aSchedule({ lastSkipped: { slot: iso(now - 3_600_000), reason: 'MISSED' } }, now))
    await open()
    const agenda = within(await screen.findByRole('list', { name: 'Next 24 hours' }))
    const lines = () =>
      agenda.getAllByTestId('firing').map(({ dataset, textContent }) => `${dataset.kind} ${textContent}`)
    await waitFor(() => expect(lines().join('\n')).toMatch(/often .*quartersreportevery 15.min × 9[567]/))
    expect(lines()[0]).toMatch(/missed .*nightlyreportMissed/)
    expect(lines().join('\n')).toMatch(/often .*tickreportevery 5.min × 288/)
    expect(lines().join('\n')).toMatch(/once .*nightlyreportOnce/)
  })

  it('has the last runs of each as dots that lead to their tasks', async () => {
    const now = Date.now()
    const done = fleet.put(aTask.completed({ schedule: 'nightly' }, now))
    const failed = fleet.put(aTask.failed({ schedule: 'nightly' }, now))
    fleet.putSchedule(aSchedule({ lastTask: failed._id }, now))
    await open()
    const runs = within(await screen.findByRole('list', { name: 'Last runs of nightly' })).getAllByRole('link')
    expect(runs.map((run) => [run.getAttribute('href'), run.title.split(',')[0]])).toEqual([
      [`/tasks/${done._id}`, 'Completed'],
      [`/tasks/${failed._id}`, 'Failed'],
    ])
  })

  it('is reached by g s', async () => {
    const { router } = await open('/tasks')
    fireEvent.keyDown(document.body, { key: 'g' })
    fireEvent.keyDown(document.body, { key: 's' })
    await waitFor(() => expect(router.state.location.pathname).toBe('/schedules'))
  })
})

describe('its commands', () => {
  it('runs it now, pauses and resumes it', async () => {
    fleet.putSchedule(aSchedule({}, Date.now()))
    await open()
    await click('Run now nightly')
    await toast('nightly runs now')
    expect([...fleet.rows.tasks.values()]).toMatchObject([{ name: 'report', schedule: 'nightly' }])
    await click('Pause nightly')
    await waitFor(async () => expect((await card()).dataset.state).toBe('paused'))
    expect((await card()).textContent).toContain('when it is resumed')
    await click('Resume nightly')
    await waitFor(async () => expect((await card()).dataset.state).toBe('waiting'))
  })

  it('pauses many at once, and takes that back', async () => {
    for (const _id of ['a', 'b']) fleet.putSchedule(aSchedule({ _id }, Date.now()))
    fleet.putSchedule(aSchedule({ _id: 'c', paused: true }, Date.now()))
    await open()
    fireEvent.click(await screen.findByRole('checkbox', { name: 'Select all schedules' }))
    expect(screen.getByText('3 selected')).toBeTruthy()
    await click('Pause 2')
    await toast('2 schedules are paused')
    await waitFor(() => expect(screen.queryAllByRole('button', { name: /^Pause / })).toEqual([]))
    await click('Undo')
    await toast('2 schedules are resumed')
    const states = () => screen.getAllByTestId('schedule').map(({ dataset }) => dataset.state)
    await waitFor(() => expect(states()).toEqual(['waiting', 'waiting', 'paused']))
    fleet.refuseNext = { code: 'QUEUE_NOT_ALLOWED', message: 'not yours' }
    fireEvent.click(screen.getByRole('checkbox', { name: 'Select a' }))
    await click('Pause')
    await toast('not yours')
  })

  it('tells why something was refused', async () => {
    fleet.putSchedule(aSchedule({}, Date.now()))
    await open()
    fleet.refuseNext = { code: 'QUEUE_NOT_ALLOWED', message: 'not yours' }
    await click('Run now nightly')
    await toast('nightly: not yours')
  })

  it('removes it after a question', async () => {
    fleet.putSchedule(aSchedule({}, Date.now()))
    await open()
    await click('Remove nightly')
    press(await dialog(), 'Remove it')
    await toast('Removed nightly')
    await screen.findByText('There are no schedules yet')
  })
})

describe('the form', () => {
  it('makes a schedule, and previews it by both clocks while it is typed', async () => {
    await open()
    await click('New schedule')
    const form = await dialog()
    fill(form, 'Name', 'weekly')
    fill(form, 'Run this task', 'report')
    fill(form, 'Time zone', 'Asia/Kathmandu')
    fill(form, 'Cron', '0 25 * * *')
    await within(form).findByText(/^'25', .* is not a valid hour/)
    expect(within(form).queryAllByTestId('slot')).toEqual([])
    fill(form, 'Cron', '0 7 * * 1')
    expect(within(form).queryByText('At 07:00, only on Monday')).toBeNull()
    await within(form).findByText('At 07:00, only on Monday')
    await waitFor(() => expect(within(form).getAllByTestId('slot')).toHaveLength(5))
    expect(within(form).getAllByTestId('slot')[0]?.textContent).toMatch(/07:00/)
    fill(form, 'Priority', '8')
    fill(form, 'Missed times', 'skip')
    press(form, 'Schedule')
    await toast('weekly is scheduled')
    expect(fleet.sent('schedules.create')).toMatchObject([
      {
        _id: 'weekly',
        task: 'report',
        version: 1,
        cron: '0 7 * * 1',
        timeZone: 'Asia/Kathmandu',
        missed: 'skip',
        options: { priority: 8 },
      },
    ])
    expect((await card()).dataset.schedule).toBe('weekly')
  })

  it('shows errors at their field, the page’s and the gateway’s', async () => {
    await open()
    await click('New schedule')
    const form = await dialog()
    fireEvent.click(within(form).getByLabelText('By a period'))
    fill(form, 'Every', 'often')
    press(form, 'Schedule')
    expect(await wrongFields(form)).toEqual(['_id', 'task', 'every'])
    fill(form, 'Name', 'x')
    fill(form, 'Run this task', 'y')
    fill(form, 'Every', '1s')
    fleet.refuseNext = { code: 'SCHEDULE_EXISTS', message: 'There is one', field: '_id' }
    press(form, 'Schedule')
    expect((await within(form).findByText('There is one')).dataset.fieldError).toBe('_id')
    fleet.refuseNext = { code: 'BAD_QUEUE', message: 'No queue', field: 'options.queue' }
    press(form, 'Schedule')
    expect((await within(form).findByText('No queue')).dataset.fieldError).toBe('options.queue')
  })

  it('changes one at its edition, and keeps its anchor', async () => {
    const { cron: _, ...row } = aSchedule({ every: 5_400_000, startsAt: '2027-01-01T00:00:30.123Z', edition: 4 })
    fleet.putSchedule(row)
    await open()
    await click('Edit nightly')
    expect((await screen.findByLabelText<HTMLInputElement>('Every')).value).toBe('90m')
    const form = await dialog()
    expect(within(form).getByLabelText<HTMLTextAreaElement>('Input (JSON)').value).toContain('daily')
    fill(form, 'Queue', 'slow')
    press(form, 'Save')
    await toast('nightly was changed')
    expect(fleet.sent('schedules.edit')).toEqual([
      {
        name: 'nightly',
        edition: 4,
        changes: { options: { queue: 'slow' } },
      },
    ])
  })
})

it('the page of a task leads to the schedule that it is from', async () => {
  const task = fleet.put(aTask.pending({ schedule: 'nightly' }, Date.now()))
  await open(`/tasks/${task._id}`)
  const link = await screen.findByRole('link', { name: 'nightly' })
  expect(link.getAttribute('href')).toBe('/schedules?name=nightly')
})
