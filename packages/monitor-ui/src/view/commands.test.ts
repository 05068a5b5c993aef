import { STATUSES } from '@taskfleet/protocol'
import { describe, expect, it } from 'vitest'
import { aTask, iso } from '../testing/rows.ts'
import { answerToast, groupRefusals, isPossible, type TaskAction } from './commands.ts'

const ACTIONS: TaskAction[] = ['pause', 'resume', 'retry', 'replay', 'edit', 'reprioritise', 'cancel']

describe('isPossible', () => {
  it('follows the status', () => {
    const table = Object.fromEntries(
      STATUSES.map((status) => [status, ACTIONS.filter((action) => isPossible(action, { status })).join(' ')]),
    )
    expect(table).toEqual({
      pending: 'pause edit reprioritise cancel',
      running: 'pause cancel',
      paused: 'resume edit reprioritise cancel',
      blocked: 'edit reprioritise cancel',
      completed: 'replay',
      failed: 'retry replay',
      cancelled: 'retry replay',
    })
  })

  it('lets a requested pause be taken back', () => {
    const asked = (action: 'pause' | 'cancel') => aTask.running({ control: { action, by: 'x', at: iso(0) } })
    expect([isPossible('resume', asked('pause')), isPossible('pause', asked('pause'))]).toEqual([true, false])
    expect([isPossible('resume', asked('cancel')), isPossible('pause', asked('cancel'))]).toEqual([false, false])
  })
})

describe('answers', () => {
  const refused = { id: 'a', error: { code: 'ALREADY_ENDED', message: 'It has failed' } }

  it('are described by their results', () => {
    expect(answerToast('pause', 'x', true, { matched: 1, changed: 1, refused: [] }).text).toBe('Requested to pause x')
    expect(answerToast('pause', 'x', false, { matched: 1, changed: 1, refused: [] }).text).toBe('Paused x')
    expect(answerToast('pause', 'x', false, { matched: 1, changed: 0, refused: [] }).text).toBe('x was paused already')
    expect(answerToast('pause', 'x', false, { matched: 1, changed: 0, refused: [refused] })).toEqual({
      kind: 'bad',
      text: 'x: It has failed',
    })
  })

  it('are grouped by reason, the commonest first', () => {
    const other = { id: 'b', error: { code: 'NOT_WAITING', message: 'It is running' } }
    expect(groupRefusals([other, refused, { ...refused, id: 'c' }]).map(({ ids }) => ids)).toEqual([['a', 'c'], ['b']])
  })
})
