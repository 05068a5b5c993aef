import { expect, it } from 'vitest'
import { parseErrorSearch } from './search.ts'

it('keeps a state that there is, and leaves the usual one out of the address', () => {
  expect(parseErrorSearch({ state: 'ignored' })).toEqual({ state: 'ignored' })
  expect(parseErrorSearch({ state: 'open' })).toEqual({})
  expect(parseErrorSearch({ state: ['x'] })).toEqual({})
})
