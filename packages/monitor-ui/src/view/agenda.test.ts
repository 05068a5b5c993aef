import { expect, it } from 'vitest'
import { aSchedule, EPOCH, iso } from '../testing/rows.ts'
import { agendaOf } from './agenda.ts'

const MINUTE = 60_000
const named = (agenda: { schedule: { _id: string } }[]) => agenda.map(({ schedule }) => schedule._id)
const cron = (_id: string, minutes: number, over = {}) =>
  aSchedule({ _id, nextAt: iso(EPOCH + minutes * MINUTE), ...over })

function period(_id: string, every: number, over = {}) {
  const { cron: _, ...row } = aSchedule({ _id, every, nextAt: iso(EPOCH + MINUTE), ...over })
  return row
}

it('has single runs in their order, within a day, without what is paused or over', () => {
  const { nextAt: _, ...over } = cron('over', 0)
  const slots = new Map([['noon', [30 * MINUTE, 12 * 60 * MINUTE, 25 * 60 * MINUTE].map((ms) => EPOCH + ms)]])
  const { once, often, missed } = agendaOf(
    [cron('noon', 30), cron('soon', 5), cron('later', 25 * 60), cron('held', 5, { paused: true }), over],
    slots,
    EPOCH,
  )
  expect(named(once)).toEqual(['soon', 'noon', 'noon'])
  expect([often, missed]).toEqual([[], []])
})

it('makes one line of many runs: a period, a dense cron, and one with gaps that vary', () => {
  const dense = Array.from({ length: 100 }, (_, n) => EPOCH + n * 5 * MINUTE)
  const uneven = [0, 1, 60, 61, 120].map((n) => EPOCH + n * MINUTE)
  const { often } = agendaOf(
    [period('tick', 15 * MINUTE), cron('dense', 0), cron('uneven', 0)],
    new Map([
      ['dense', dense],
      ['uneven', uneven],
    ]),
    EPOCH,
  )
  expect(often.map(({ schedule, count, everyMs, isEstimate }) => [schedule._id, count, everyMs, isEstimate])).toEqual([
    ['dense', 289, 5 * MINUTE, true],
    ['uneven', 5, undefined, false],
    ['tick', 96, 15 * MINUTE, false],
  ])
})

it('ends a period at its end', () => {
  const { once } = agendaOf([period('short', 10 * MINUTE, { endsAt: iso(EPOCH + 22 * MINUTE) })], new Map(), EPOCH)
  expect(once.map(({ at }) => (at - EPOCH) / MINUTE)).toEqual([1, 11, 21])
})

it('marks what is due and not created, and what was left out in the last day', () => {
  const skipped = (hours: number, reason: string) => ({
    lastSkipped: { slot: iso(EPOCH - hours * 60 * MINUTE), reason },
  })
  const { missed, once } = agendaOf(
    [
      cron('late', -10),
      cron('skipped', 60, skipped(2, 'MISSED')),
      cron('old', 60, skipped(30, 'MISSED')),
      cron('busy', 60, skipped(1, 'OVERLAP')),
    ],
    new Map(),
    EPOCH,
  )
  expect(named(missed)).toEqual(['late', 'skipped'])
  expect(named(once)).toEqual(['skipped', 'old', 'busy'])
})
