import fc from 'fast-check'
import { expect, test } from 'vitest'
import { HeadTidier } from './head-tidier.ts'

const tidy = (...chunks: string[]): string => {
  const tidier = new HeadTidier()
  return chunks.map((chunk) => tidier.take(Buffer.from(chunk, 'latin1')).toString('latin1')).join('')
}

test('a good head stays as it is, and so does what follows', () => {
  const answer = 'HTTP/1.1 200 OK\r\nX: y\r\nX: z\r\nContent-Length: 3\r\n\r\nabc\n\n\r\nHTTP/1.1 100 x\r\n\r\n'
  expect(tidy(answer)).toBe(answer)
})

test('wherever its chunks end, it is the same', () => {
  const answer =
    '\r\nHTTP/1.1 100 Go on\nA: b\n\nHTTP/1.1 103 x\r\n\r\nHTTP/1.0 200\nA : b\n c\nnonsense\n\nbody\r\n\r\n'
  const whole = 'HTTP/1.0 200 \r\nA: b c\r\n\r\nbody\r\n\r\n'
  expect(tidy(answer)).toBe(whole)
  expect(tidy(...answer)).toBe(whole)
  for (let at = 0; at < answer.length; at++) expect(tidy(answer.slice(0, at), answer.slice(at))).toBe(whole)
})

test.each(['SSH-2.0-OpenSSH\r\n', '220 ftp ready\r\n', '<html>', 'HTTX'])('%j is passed on at once', (other) => {
  expect(tidy(other)).toBe(other)
})

test('a head without an end is passed on before it fills the memory', () => {
  const line = `X: ${'y'.repeat(60_000)}\r\n`
  const sent = ['HTTP/1.1 200 OK\r\n', ...Array.from({ length: 12 }, () => line)]
  expect(tidy(...sent)).toBe(sent.join(''))
})

test('lengths that differ stay, for the parser to refuse', () => {
  const answer = 'HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 5\r\n\r\n'
  expect(tidy(answer)).toBe(answer)
})

test('nothing that it is given is lost or makes it fail', () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 40 })), (chunks) => {
      const tidier = new HeadTidier()
      for (const chunk of chunks) tidier.take(Buffer.from(chunk))
      const body = Buffer.from('x'.repeat(100))
      tidier.take(Buffer.from('HTTP/1.1 200 OK\r\n\r\n'))
      expect(tidier.take(body)).toEqual(expect.any(Buffer))
    }),
  )
})
