import { expect, test } from 'vitest'
import { declareTask, namingOf } from './task-contract.ts'

const contract = declareTask({
  name: 'import',
  title: (input) => `Import of ${(input as { file: string }).file}`,
  labels: (input) => (input as { labels: Record<string, string> }).labels,
})

test('the title and labels of a request win over those of the contract', () => {
  const input = { file: 'a.csv', labels: { tenant: 'acme', kind: 'csv' } }
  expect(namingOf(contract, input)).toEqual({ title: 'Import of a.csv', labels: input.labels })
  expect(namingOf(contract, input, { title: 'Mine', labels: { kind: 'mine' } })).toEqual({
    title: 'Mine',
    labels: { tenant: 'acme', kind: 'mine' },
  })
})

test.each([
  ['a function that throws', undefined, {}],
  ['labels that are no texts', { file: 'a', labels: { good: 'x', object: {}, list: [], absent: null } }, { good: 'x' }],
  ['names that no label can have', { file: 'a', labels: { 'a.b': 'x', $where: 'x', '': 'x', ok: 'y' } }, { ok: 'y' }],
  ['control characters and half a surrogate', { file: 'a', labels: { a: 'x\n\u0000y', b: '\ud800' } }, { a: 'x y' }],
])('%s: what is invalid is left out', (_, input, labels) => {
  expect(namingOf(contract, input).labels ?? {}).toEqual(labels)
})

test('a title is cut, and there are at most 16 labels, those of the request first', () => {
  const many = Object.fromEntries(Array.from({ length: 30 }, (_, n) => [`l${n}`, 'x']))
  const naming = namingOf(contract, { file: 'x'.repeat(500), labels: many }, { labels: { own: 'yes' } })
  expect(naming.title).toHaveLength(200)
  expect(Object.keys(naming.labels!)).toHaveLength(16)
  expect(naming.labels).toHaveProperty('own', 'yes')
})

test.each([{ title: 'fixed' }, { labels: {} }])('%o is no function', (naming) => {
  expect(() => declareTask({ name: 'import', ...naming } as never)).toThrow(
    expect.objectContaining({ code: 'BAD_DEFINITION', field: Object.keys(naming)[0] }),
  )
})
