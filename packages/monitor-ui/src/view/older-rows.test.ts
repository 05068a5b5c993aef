import { expect, it } from 'vitest'
import { aTask } from '../testing/rows.ts'
import { fallenOff, joinOlder, wholeList } from './older-rows.ts'

type Row = ReturnType<typeof aTask.completed>

const [a, b, c, d, e] = ['a', 'b', 'c', 'd', 'e'].map((_id) => aTask.completed({ _id })) as [Row, Row, Row, Row, Row]
const past = (...tasks: Row[]) => joinOlder([], new Set(), tasks, 'last')

it('knows the rows that new ones have pushed out of a full list', () => {
  expect(fallenOff([b, c, d], [a, b, c])).toEqual([d])
  expect(fallenOff([a, b, c], [a, c, d])).toEqual([])
  expect(fallenOff([b, c, d], [b, c])).toEqual([])
  expect(fallenOff([a, b], [c, d])).toEqual([])
})

it('has each row once, live if it can be', () => {
  const older = { rows: past(c, d, e), ids: new Set(['c', 'd', 'e']) }
  const held = [
    { row: a, gone: false },
    { row: b, gone: true },
    { row: c, gone: false },
    { row: d, gone: true },
  ]
  const shown = wholeList(held, older).map(({ row, gone, past: read }) => [row._id, gone, read === true])
  expect(shown).toEqual([
    ['a', false, false],
    ['b', true, false],
    ['c', false, false],
    ['d', false, true],
    ['e', false, true],
  ])
})
