import type { AuditEntry } from '@taskfleet/protocol'
import { expect, it } from 'vitest'
import { auditCsv, auditMatches } from './audit.ts'

const AT = Date.parse('2027-03-01T02:00:00.000Z')
const entry = (overrides: Partial<AuditEntry>): AuditEntry => ({
  ...{ _id: 'f'.repeat(24), at: '2027-03-01T02:00:00.000Z', by: 'abc', action: 'queue pause' },
  ...{ tasks: [], matched: 1, changed: 1, target: 'bulk', ...overrides },
})
const nameOf = (id: string) => (id === 'abc' ? 'Night shift' : id)

it('finds entries by who, what, target and time', () => {
  const paused = entry({})
  const retried = entry({ action: 'retry', by: 'local', target: undefined, reason: 'ENOSPC', tasks: ['a1'] } as object)
  const found = (...[search, within]: [object, { from: number; to: number }?]) =>
    auditMatches([paused, retried], search, within, nameOf)
  expect(found({})).toEqual([paused, retried])
  expect(found({ who: 'night' })).toEqual([paused])
  expect(found({ did: 'retry' })).toEqual([retried])
  expect(found({ about: 'BULK' })).toEqual([paused])
  expect(found({ about: 'enospc' })).toEqual([retried])
  expect(found({ about: 'a1' })).toEqual([retried])
  expect(found({}, { from: AT + 1, to: AT + 2 })).toEqual([])
  expect(found({}, { from: AT, to: AT + 1 })).toHaveLength(2)
})

it('writes what a spreadsheet reads as text', () => {
  const text = auditCsv([entry({ target: '=1+1', reason: 'a "b",\nc' })], nameOf)
  expect(text).toBe(
    'at,by,key,action,target,matched,changed,reason,refused,filter,tasks\r\n' +
      '2027-03-01T02:00:00.000Z,Night shift,abc,paused a queue,\'=1+1,1,1,"a ""b"",\nc",,,\r\n',
  )
})
