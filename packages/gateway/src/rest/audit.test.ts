import type { AuditEntry } from '@taskfleet/protocol'
import { makeKey, startRest, told } from '@taskfleet/testkit/fleet/rest-calls'
import { useFleet } from '@taskfleet/testkit/fleet/use-fleet'
import { expect, test } from 'vitest'

const fleet = useFleet()

test('pages of the audit log together are the whole log, also with several entries of one moment', async () => {
  const { call } = await startRest(fleet)
  for (let index = 0; index < 23; index += 1) {
    await fleet.fleet.audit.record({ by: 'test', action: 'deed', target: String(index), changed: 1 })
  }
  const moments = [new Date('2030-01-01T00:00:00Z'), new Date('2030-01-01T00:00:01Z')]
  const entries = await fleet.database.db.collection('audit').find().toArray()
  for (const [index, { _id }] of entries.entries()) {
    await fleet.database.db.collection('audit').updateOne({ _id }, { $set: { at: moments[index % 2] } })
  }
  const whole = (await call('GET', '/audit?limit=1000')).body
  expect(whole.cursor).toBeUndefined()
  const seen: AuditEntry[] = []
  let cursor: unknown
  do {
    const { body } = await call('GET', `/audit?limit=5${cursor === undefined ? '' : `&cursor=${String(cursor)}`}`)
    seen.push(...(body.entries as AuditEntry[]))
    cursor = body.cursor
    // What is done meanwhile is newer, and moves nothing.
    await fleet.fleet.audit.record({ by: 'test', action: 'later', changed: 1 })
    await fleet.database.db
      .collection('audit')
      .updateMany({ action: 'later' }, { $set: { at: new Date('2031-01-01') } })
  } while (cursor !== undefined)
  expect(seen).toHaveLength(23)
  expect(seen).toEqual(whole.entries)
})

test('a limited key can not read it, and invalid requests get an error', async () => {
  const { call, as } = await startRest(fleet)
  const limited = as(await makeKey(fleet, { scopes: ['read'], queues: ['mine'] }))
  expect(told(await limited.call('GET', '/audit'))).toBe('403 FORBIDDEN')
  const forged = (at: unknown): string => Buffer.from(JSON.stringify({ q: 'audit', at })).toString('base64url')
  const bad: [string, string][] = [
    ['limit=0', '400 BAD_SORT'],
    ['limit=1001', '400 BAD_SORT'],
    ['cursor=nonsense', '400 BAD_CURSOR'],
    [`cursor=${forged(['x', 'y'])}`, '400 BAD_CURSOR'],
    [`cursor=${forged([{ date: '2030-01-01' }, { date: '2030-01-01' }])}`, '400 BAD_CURSOR'],
    [`cursor=${forged([{ $gt: '' }, { id: 'f'.repeat(24) }])}`, '400 BAD_CURSOR'],
    ['filter={}', '400 UNKNOWN_FIELD'],
  ]
  for (const [query, answer] of bad)
    expect([query, told(await call('GET', `/audit?${query}`))]).toEqual([query, answer])
})
