import { expect, it } from 'vitest'
import { ProgressTracks } from './progress-tracks.ts'
import { aRow, EPOCH, iso } from './testing/fake-client.ts'

const report = (done: number, seconds: number) => ({ done, total: 1_000, at: iso(EPOCH + seconds * 1_000) })

it('takes progress from the socket and from the row, whichever is newer', () => {
  const tracks = new ProgressTracks()
  const task = aRow({ _id: 'a', progress: report(1, 0) })
  expect(tracks.of(task, EPOCH).latest?.done).toBe(1)
  expect(tracks.of(task, EPOCH + 1_000, report(50, 1)).latest?.done).toBe(50)
  expect(tracks.of(task, EPOCH + 2_000).latest?.done).toBe(50)
})

it('goes on with the next attempt, whose clock may be behind, and keeps the rate', () => {
  const tracks = new ProgressTracks()
  const task = aRow({ _id: 'a', progress: report(0, 0) })
  tracks.of(task, EPOCH)
  const rate = tracks.of(task, EPOCH + 1_000, report(100, 1)).rate(EPOCH + 1_000)
  expect(rate).toBe(100)
  const next = { ...task, attempt: task.attempt + 1, progress: report(90, -60) }
  const track = tracks.of(next, EPOCH + 2_000)
  expect(track.latest?.done).toBe(90)
  // A view that is behind changes nothing.
  expect(tracks.of({ ...task, progress: report(800, 9) }, EPOCH + 2_000).latest?.done).toBe(90)
  expect(track.rate(EPOCH + 2_000)).toBe(100)
})
