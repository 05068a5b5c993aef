import { mongo } from 'mongoose'
import { describe, expect, test } from 'vitest'
import {
  FEED_TRANSITIONS,
  type FeedEvent,
  type FeedState,
  HistoryLost,
  judgeFailure,
  NO_FAILURES,
  OtherScope,
  pauseAfter,
  Stalled,
} from './feed-states.ts'

/** Every cell again, in words: state, event, next state, action. */
const CELLS: [keyof typeof FEED_TRANSITIONS, FeedEvent, FeedState, string][] = [
  ['open', 'opened', 'open', 'none'],
  ['open', 'failed', 'resuming', 'pause'],
  ['open', 'placeLost', 'restarting', 'pause'],
  ['open', 'rescoped', 'resuming', 'discard'],
  ['open', 'stopped', 'stopped', 'close'],
  ['resuming', 'opened', 'open', 'announce'],
  ['resuming', 'failed', 'resuming', 'pause'],
  ['resuming', 'placeLost', 'restarting', 'pause'],
  ['resuming', 'rescoped', 'resuming', 'discard'],
  ['resuming', 'stopped', 'stopped', 'close'],
  ['restarting', 'opened', 'open', 'announceLoss'],
  ['restarting', 'failed', 'restarting', 'pause'],
  ['restarting', 'placeLost', 'restarting', 'pause'],
  ['restarting', 'rescoped', 'restarting', 'discard'],
  ['restarting', 'stopped', 'stopped', 'close'],
]

describe('the states of the feed', () => {
  test.each(CELLS)('%s, when %s: %s, %s', (state, event, to, action) => {
    expect(FEED_TRANSITIONS[state][event]).toEqual({ to, action })
  })

  test('are all in that list', () => {
    const cells = Object.values(FEED_TRANSITIONS).flatMap((row) => Object.keys(row))
    expect(cells).toHaveLength(CELLS.length)
  })

  test('listeners are notified of a loss exactly when the feed starts at the present', () => {
    for (const [state, event, to, action] of CELLS) {
      expect(action === 'announceLoss', `${state} ${event}`).toBe(state === 'restarting' && to === 'open')
    }
  })

  test('after a lost place, only opening at the present or a stop leads on', () => {
    const left = CELLS.filter(([state, , to]) => state === 'restarting' && to !== 'restarting')
    expect(left.map(([, event]) => event)).toEqual(['opened', 'stopped'])
  })
})

describe('a failure of the stream', () => {
  const refusal = new mongo.MongoServerError({ message: 'no', code: 1 })
  const judged = (error: unknown, state: FeedState = 'open', before = NO_FAILURES) => judgeFailure(error, state, before)

  test.each<[string, unknown, FeedEvent]>([
    ['a broken connection', new Error('gone'), 'failed'],
    ['another scope that is wanted', new OtherScope(), 'rescoped'],
    ['the end of the stream', new HistoryLost(), 'placeLost'],
    ...[286, 280, 260, 40647, 9].map((code): [string, unknown, FeedEvent] => [
      `code ${code}`,
      Object.assign(new Error('no'), { code }),
      'placeLost',
    ]),
    [
      'the label of what can not be resumed',
      Object.assign(new Error('no'), { hasErrorLabel: (label: string) => label === 'NonResumableChangeStreamError' }),
      'placeLost',
    ],
  ])('%s', (_name, error, event) => {
    expect(judged(error).event).toBe(event)
  })

  test('a server that refuses the token three times has lost the place; one that is away has not', () => {
    let failures = NO_FAILURES
    for (const event of ['failed', 'failed', 'placeLost'] as const) {
      const next = judged(refusal, 'resuming', failures)
      expect(next.event).toBe(event)
      failures = next.failures
    }
    expect(judged(new Error('away'), 'resuming', { all: 9, refusals: 2, stalls: 0 }).event).toBe('failed')
    expect(judged(refusal, 'open', { all: 9, refusals: 2, stalls: 0 }).event).toBe('failed')
  })

  test('a stream that is silent again after it was opened again has lost the place', () => {
    const first = judged(new Stalled())
    expect(first).toEqual({ event: 'failed', failures: { all: 1, refusals: 0, stalls: 1 } })
    expect(judged(new Stalled(), 'open', first.failures)).toEqual({
      event: 'placeLost',
      failures: { all: 2, refusals: 0, stalls: 0 },
    })
  })

  test('makes the next try wait for longer each time, up to 5 s', () => {
    const pauses = [1, 2, 3, 10].map((all) => pauseAfter({ all, refusals: 0, stalls: 0 }))
    expect(pauses).toEqual([100, 200, 400, 5_000])
  })
})
