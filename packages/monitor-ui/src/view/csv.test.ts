import { expect, it } from 'vitest'
import { toCsv } from './csv.ts'

it('writes CSV that a spreadsheet reads as it is', () => {
  expect(
    toCsv(
      ['a', 'b'],
      [
        ['x, "y"', 3],
        ['=1+1', undefined],
        [{ k: 1 }, 'two\nlines'],
        [-5, '-5'],
      ],
    ),
  ).toBe('a,b\r\n"x, ""y""",3\r\n\'=1+1,\r\n"{""k"":1}","two\nlines"\r\n-5,\'-5\r\n')
})
