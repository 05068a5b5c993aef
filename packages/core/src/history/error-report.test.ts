import { useDatabase } from '@taskfleet/testkit/use-database'
import { Types } from 'mongoose'
import { beforeAll, beforeEach, expect, test } from 'vitest'
import { Fleet } from '../fleet.ts'

const held = useDatabase()
let fleet: Fleet
beforeAll(() => {
  fleet = new Fleet(held.database)
})
beforeEach(() => held.database.db.collection('errors').deleteMany({}))

const fail = (name: string, version: number) =>
  fleet.errors.record({
    error: { code: 'ENOSPC', name: 'Error', message: 'No space left', fingerprint: 'full' },
    task: new Types.ObjectId(),
    ...{ name, version, host: 'fra-1' },
  })
const mark = (changes: object) => fleet.as().errors.mark({ fingerprint: 'full', ...changes })

test('an error that is resolved in a version opens again only in that version or a later one', async () => {
  await fail('encode', 2)
  expect(await mark({ state: 'resolved', resolvedIn: 'encode@4' })).toMatchObject({
    state: 'resolved',
    resolvedIn: { name: 'encode', version: 4 },
  })
  await Promise.all([fail('encode', 2), fail('encode', 3)])
  expect(await fleet.errors.find('full')).toMatchObject({ state: 'resolved', count: 3, reopened: 0 })
  await Promise.all([fail('encode', 3), fail('encode', 5)])
  const open = await fleet.errors.find('full')
  expect(open).toMatchObject({ state: 'open', count: 5, reopened: 1 })
  expect(open).not.toHaveProperty('resolvedIn')
  await mark({ state: 'resolved', resolvedIn: 'encode@6' })
  await fail('encode', 6)
  expect(await fleet.errors.find('full')).toMatchObject({ state: 'open', reopened: 2 })
})

test('it opens again when another handler fails with it, and without a version whenever it comes back', async () => {
  await fail('encode', 2)
  await mark({ state: 'resolved', resolvedIn: 'encode@3' })
  await fail('thumbnail', 1)
  expect(await fleet.errors.find('full')).toMatchObject({ state: 'open', reopened: 1 })
  await mark({ state: 'resolved' })
  await fail('encode', 1)
  expect(await fleet.errors.find('full')).toMatchObject({ state: 'open', reopened: 2 })
})

test('owner and note are changed without the state, stay when it is marked, and are in the audit log', async () => {
  await fail('encode', 2)
  const noted = await mark({ owner: 'ana', note: 'disk of fra-1, ticket 17' })
  expect(noted).toMatchObject({ state: 'open', owner: 'ana', note: 'disk of fra-1, ticket 17' })
  expect(noted).not.toHaveProperty('marked')
  expect(await mark({ state: 'resolved', resolvedIn: 'encode@3' })).toMatchObject({ owner: 'ana', state: 'resolved' })
  expect(await mark({ note: null, owner: '' })).toMatchObject({ state: 'resolved', resolvedIn: { version: 3 } })
  const [row] = await fleet.as().errors.list()
  expect(row).not.toHaveProperty('note')
  expect(row).not.toHaveProperty('owner')
  expect((await fleet.audit.list({ limit: 3 })).map(({ action, reason }) => `${action} ${reason}`)).toEqual([
    'error edit no owner; no note',
    'error resolved in encode@3',
    'error edit owner: ana; note: disk of fra-1, ticket 17',
  ])
})

test.each([
  [{}, 'BAD_REQUEST'],
  [{ state: 'open', resolvedIn: 'encode@3' }, 'BAD_VALUE'],
  [{ state: 'resolved', resolvedIn: 'encode' }, 'BAD_VALUE'],
  [{ state: 'resolved', resolvedIn: 'encode@0' }, 'BAD_VALUE'],
  [{ note: 'x'.repeat(2_001) }, 'BAD_VALUE'],
])('%j is refused', async (changes, code) => {
  await fail('encode', 2)
  await expect(mark(changes)).rejects.toMatchObject({ code })
  expect(await fleet.errors.find('full')).toMatchObject({ state: 'open', rev: 1 })
})
