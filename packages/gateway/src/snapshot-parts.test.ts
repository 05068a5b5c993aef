import type { Row } from '@taskfleet/protocol'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { bytesOfRows, SnapshotParts } from './snapshot-parts.ts'

const KIB = 1024

const row = (fields: { _id: string; [field: string]: unknown }): Row => fields

/** A client that assembles parts as docs/protocol.md says. */
class Client {
  #rows = new Map<string, Row>()

  take({ part, rows, ids }: ReturnType<SnapshotParts['next']>): Row[] | undefined {
    if (part === 0) this.#rows.clear()
    for (const one of rows) this.#rows.set(one._id, one)
    return ids?.map((id) => this.#rows.get(id)!)
  }
}

const size = fc.oneof(
  { weight: 8, arbitrary: fc.nat(40) },
  { weight: 1, arbitrary: fc.integer({ min: 200, max: 600 }) },
)
/** Between two parts, rows enter, leave, change and move. */
const change = fc.record({ id: fc.nat(60), kib: fc.option(size), place: fc.nat(60) })

test('the last part completes the window of that moment, whatever changed between the parts', () => {
  let inParts = 0
  fc.assert(
    fc.property(
      fc.oneof(
        { weight: 1, arbitrary: fc.array(size, { maxLength: 10 }) },
        { weight: 4, arbitrary: fc.array(size, { minLength: 40, maxLength: 60 }) },
      ),
      fc.array(fc.array(change, { maxLength: 4 }), { maxLength: 30 }),
      (sizes, rounds) => {
        let version = 0
        const rowOf = (id: string, kib: number): Row =>
          row({ _id: id, version: version++, pad: 'é'.repeat(kib * (KIB / 2)) })
        const window = sizes.map((kib, id) => rowOf(`r${id}`, kib))
        const sender = new SnapshotParts()
        const client = new Client()
        for (let round = 0; ; round += 1) {
          const next = sender.next(window)
          sender.sent(next, window)
          if (next.part === 1) inParts += 1
          const encoded = Buffer.byteLength(JSON.stringify([next.rows, next.ids ?? []]))
          if (next.rows.length > 1) expect(encoded).toBeLessThan(400 * KIB)
          const assembled = client.take(next)
          if (assembled !== undefined) {
            expect(assembled).toEqual(window)
            return
          }
          expect(next.rows.length).toBeGreaterThan(0)
          for (const { id, kib, place } of rounds[round] ?? []) {
            const at = window.findIndex(({ _id }) => _id === `r${id}`)
            if (at >= 0) window.splice(at, 1)
            if (kib !== null) window.splice(place, 0, rowOf(`r${id}`, kib))
          }
        }
      },
    ),
    { numRuns: 100 },
  )
  expect(inParts).toBeGreaterThan(20)
})

test('rows that did not change are sent once', () => {
  const rows = Array.from({ length: 50 }, (_, n) => row({ _id: `r${n}`, pad: 'x'.repeat(60 * KIB) }))
  const sender = new SnapshotParts()
  const sent: string[] = []
  for (let last = false; !last; ) {
    const next = sender.next(rows)
    sender.sent(next, rows)
    sent.push(...next.rows.map(({ _id }) => _id))
    last = next.ids !== undefined
  }
  expect(sent).toEqual(rows.map(({ _id }) => _id))
})

test('the size of rows is that of their UTF-8', () => {
  const one = row({ _id: 'a', text: 'é😀\u0001"' })
  expect(bytesOfRows([one, one], Number.POSITIVE_INFINITY)).toBe(2 * Buffer.byteLength(JSON.stringify(one)))
})
