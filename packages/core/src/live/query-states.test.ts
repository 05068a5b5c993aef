import { describe, expect, test } from 'vitest'
import { keepsChanges, QUERY_TRANSITIONS, type QueryAction, type QueryEvent, type QueryState } from './query-states.ts'

/** Every cell again, in words: state, event, next state, action. */
const CELLS: [keyof typeof QUERY_TRANSITIONS, QueryEvent, QueryState, QueryAction][] = [
  ['opening', 'change', 'opening', 'keep'],
  ['opening', 'short', 'opening', 'none'],
  ['opening', 'reset', 'resetting', 'none'],
  ['opening', 'read', 'live', 'take'],
  ['opening', 'readAnew', 'live', 'take'],
  ['opening', 'failed', 'opening', 'giveUp'],
  ['opening', 'frame', 'opening', 'none'],
  ['opening', 'close', 'closed', 'end'],
  ['live', 'change', 'live', 'apply'],
  ['live', 'short', 'reading', 'ask'],
  ['live', 'reset', 'resetting', 'none'],
  ['live', 'read', 'live', 'none'],
  ['live', 'readAnew', 'live', 'none'],
  ['live', 'failed', 'reading', 'askAgain'],
  ['live', 'frame', 'live', 'flush'],
  ['live', 'close', 'closed', 'end'],
  ['reading', 'change', 'reading', 'keep'],
  ['reading', 'short', 'reading', 'none'],
  ['reading', 'reset', 'resetting', 'none'],
  ['reading', 'read', 'live', 'show'],
  ['reading', 'readAnew', 'live', 'show'],
  ['reading', 'failed', 'reading', 'askAgain'],
  ['reading', 'frame', 'reading', 'none'],
  ['reading', 'close', 'closed', 'end'],
  ['resetting', 'change', 'resetting', 'keep'],
  ['resetting', 'short', 'resetting', 'none'],
  ['resetting', 'reset', 'resetting', 'none'],
  ['resetting', 'read', 'resetting', 'none'],
  ['resetting', 'readAnew', 'live', 'replace'],
  ['resetting', 'failed', 'resetting', 'askAgain'],
  ['resetting', 'frame', 'resetting', 'none'],
  ['resetting', 'close', 'closed', 'end'],
]

describe('the states of a live query', () => {
  test.each(CELLS)('%s, on %s: %s, %s', (state, event, to, action) => {
    expect(QUERY_TRANSITIONS[state][event]).toEqual({ to, action })
  })

  test('are all in that list', () => {
    expect(Object.values(QUERY_TRANSITIONS).flatMap((row) => Object.keys(row))).toHaveLength(CELLS.length)
  })

  test('no change is lost: it is applied while the window is known, else kept', () => {
    for (const [state, event, , action] of CELLS) {
      if (event === 'change') expect(action).toBe(keepsChanges(state) ? 'keep' : 'apply')
    }
  })

  test('nothing is shown that may be wrong', () => {
    for (const [state, , to, action] of CELLS) {
      if (action === 'flush') expect(state).toBe('live')
      if (action === 'show' || action === 'take' || action === 'replace') expect(to).toBe('live')
    }
  })

  test('after a reset only a read that began later counts', () => {
    const left = CELLS.filter(([state, , to]) => state === 'resetting' && to !== 'resetting')
    expect(left.map(([, event]) => event)).toEqual(['readAnew', 'close'])
  })
})
