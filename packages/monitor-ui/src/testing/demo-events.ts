import type { CallbackRow } from '@taskfleet/protocol'
import type { FakeFleet } from './fake-fleet.ts'
import { FakeRest } from './fake-rest.ts'
import { aCallback, anEvent, iso, nextId } from './rows.ts'

const CALLBACKS: Partial<CallbackRow>[] = [
  { event: 'Add', task: 'addition', defaults: { queue: 'arithmetic' } },
  { event: 'Divide', task: 'division', defaults: { queue: 'arithmetic', maxAttempts: 1 } },
  { event: 'upload.finished', task: 'transcode', version: 3, defaults: { priority: 8, input: { preset: '1080p' } } },
  { event: 'upload.finished', task: 'thumbnail', defaults: { lazy: true } },
  { event: 'invoice:paid', task: 'receipt', defaults: { input: { template: 'a-template-with-quite-a-long-name' } } },
]

/** The REST side of the demonstration's fleet, with events of every kind. */
export function startEvents(fleet: FakeFleet): FakeRest {
  const rest = new FakeRest(fleet)
  for (const callback of CALLBACKS) rest.put(aCallback(callback))
  const now = fleet.now()
  const ended = (secondsAgo: number) => ({
    createdAt: iso(now - secondsAgo * 1_000 - 4_000),
    startedAt: iso(now - secondsAgo * 1_000 - 2_400),
    processedAt: iso(now - secondsAgo * 1_000),
  })
  const result = (name: string, output: unknown) => ({ task: nextId(), name, status: 'completed' as const, output })
  const sum = result('addition', 5)
  fleet.putEvent(anEvent.finished({ ...ended(340), tasks: [sum.task], results: [sum] }, now))
  const quotient = {
    task: nextId(),
    name: 'division',
    status: 'failed' as const,
    error: { code: 'DIVISION_BY_ZERO', message: "1 can't be divided by zero" },
  }
  fleet.putEvent(
    anEvent.failed(
      { ...ended(95), name: 'Divide', props: { a: 1, b: 0 }, priority: 4, tasks: [quotient.task], results: [quotient] },
      now,
    ),
  )
  const made = [
    result('transcode', { file: 'lecture-07.mp4', width: 1920, height: 1080, codec: 'av1', seconds: 3_541 }),
    result('thumbnail', { files: 12 }),
  ]
  fleet.putEvent(
    anEvent.finished(
      {
        ...ended(41),
        name: 'upload.finished',
        props: {
          file: 'lecture-07.mov',
          by: 'ada',
          note: 'a remark that somebody made at some length, so that it has to be cut somewhere before it is shown',
          tags: ['course', 'autumn', '<img src=x onerror=alert(1)>', 'right\u202eleft'],
        },
        tasks: made.map(({ task }) => task),
        results: made,
      },
      now,
    ),
  )
  fleet.putEvent(
    anEvent.processing(
      {
        name: 'upload.finished',
        props: { file: 'lecture-08.mov' },
        tasks: [nextId(), nextId()],
        createdAt: iso(now - 9_000),
      },
      now,
    ),
  )
  fleet.putEvent(
    anEvent.cancelled({ ...ended(600), name: 'invoice:paid', props: { invoice: 2_213 }, tasks: [nextId()] }, now),
  )
  fleet.putEvent(
    anEvent.scheduled(
      { name: 'invoice:paid', props: { invoice: 2_214 }, priority: 9, tasks: [nextId()], createdAt: iso(now - 3_000) },
      now,
    ),
  )
  return rest
}
