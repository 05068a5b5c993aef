import type { AttentionRow } from '@taskfleet/protocol'
import { expect, it } from 'vitest'
import { anError, aTask } from '../testing/rows.ts'
import { noticesOf, parseKinds } from './notices.ts'

const missed: AttentionRow = {
  ...{ _id: 'missed:nightly', kind: 'missed', urgency: 'now', subject: 'nightly', schedule: 'nightly' },
  message: 'No task was made',
}
const unserved: AttentionRow = {
  ...{ _id: 'unserved:q:a@1', kind: 'unserved', urgency: 'now', subject: 'a@1', message: 'nobody serves it' },
}
const soon: AttentionRow = { ...unserved, _id: 'soon', urgency: 'soon' }
const titles = (...[noticed, kinds]: Parameters<typeof noticesOf>) =>
  noticesOf(noticed, kinds).map(({ title }) => title)

it('notifies only of the chosen kinds, and of nothing that is not urgent', () => {
  const noticed = {
    attention: [missed, unserved, soon],
    errors: [anError({ code: 'EIO' })],
    tasks: [aTask.failed({ title: 'a\u202e.iso' }), aTask.running()],
  }
  expect(titles(noticed, [])).toEqual([])
  expect(titles(noticed, ['schedules'])).toEqual(['Missed schedule: nightly'])
  expect(titles(noticed, ['urgent'])).toEqual(['Missed schedule: nightly', 'Needs somebody: a@1'])
  expect(titles(noticed, ['errors'])).toEqual(['New error: EIO'])
  expect(titles(noticed, ['tasks'])).toEqual(['Failed: a\\u{202e}.iso'])
})

it('opens the page of its cause, and has another id when an error comes back', () => {
  const [first] = noticesOf({ attention: [missed], errors: [], tasks: [] }, ['schedules'])
  expect(first?.page).toEqual({ to: '/schedules', search: { name: 'nightly' } })
  const ids = [0, 1].map((reopened) =>
    noticesOf({ attention: [], errors: [anError({ reopened })], tasks: [] }, ['errors']).map(({ id }) => id),
  )
  expect(ids).toEqual([['error:c0ffee:0'], ['error:c0ffee:1']])
})

it('reads the kept kinds and leaves out unknown ones', () => {
  expect(parseKinds(undefined)).toEqual([])
  expect(parseKinds('tasks,nonsense,errors')).toEqual(['errors', 'tasks'])
})
