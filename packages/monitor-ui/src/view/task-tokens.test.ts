import { describe, expect, it } from 'vitest'
import { iso } from '../testing/rows.ts'
import { parseTokens, proposals, tokenFilter, writeTokens } from './task-tokens.ts'

const NOW = Date.parse('2027-03-01T12:00:00Z')
const filter = (q: string) => tokenFilter(q, NOW)

describe('a search text', () => {
  it('has filters of its own and others, and is written as it was read', () => {
    const text =
      'status:running,failed name:send-email queue:bulk host:fra-1 label.customer:cus_1003 input.to:~user42 ended:<1h'
    const { search, problem } = parseTokens(text)
    expect(problem).toBeUndefined()
    expect(search).toEqual({
      status: ['running', 'failed'],
      name: 'send-email',
      queue: 'bulk',
      host: 'fra-1',
      q: 'label.customer:cus_1003 input.to:~user42 ended:<1h',
    })
    expect(writeTokens(search)).toBe(text)
  })

  it('keeps spaces in quotes', () => {
    expect(parseTokens('name:"a b" label.customer:"Smith & Sons" "two words"').search).toEqual({
      name: 'a b',
      q: 'label.customer:"Smith & Sons" "two words"',
    })
  })

  it.each([
    ['status:done', /'done' is no status/],
    ['ended:yesterday', /no time/],
    ['priority:high', /no number/],
    ['id:42', /no id/],
    ['input.to:', undefined],
    ['input.to:~', /needs a value/],
    ['constructor:x', /can't be searched/],
    ['__proto__.x:1', undefined],
  ])('%s is refused with a reason, or taken as words', (text, reason) => {
    const { problem } = parseTokens(text)
    if (reason === undefined) expect(problem).toBeUndefined()
    else expect(problem).toMatch(reason)
  })

  it.each(['2027-03-01T12:00', 'http://mirror.example/a.iso', '"', ':', '::', 'a"b'])('%s does no harm', (text) => {
    expect(() => [parseTokens(text), filter(text), proposals(text, {})]).not.toThrow()
  })
})

describe('the filter of a search text', () => {
  it('finds words of the title and an id', () => {
    expect(filter('ubuntu')).toEqual({ title: { $contains: 'ubuntu' } })
    expect(filter(' 65A1B2C3D4E5F60718293A4B ')).toEqual({ _id: '65a1b2c3d4e5f60718293a4b' })
    expect(filter('ubuntu 24')).toEqual({ $and: [{ title: { $contains: 'ubuntu' } }, { title: { $contains: '24' } }] })
  })

  it('finds exact values, parts, and those that there are', () => {
    expect(filter('label.customer:cus_1 input.to:~user42 output.url:*')).toEqual({
      'labels.customer': 'cus_1',
      'input.to': { $contains: 'user42' },
      'output.url': { $exists: true },
    })
    expect(filter('input.size:5')).toEqual({ 'input.size': { $in: ['5', 5] } })
    expect(filter('input.size:>=5 input.dry:true')).toEqual({
      'input.size': { $gte: 5 },
      'input.dry': { $in: ['true', true] },
    })
    expect(filter('error:ENOSPC attempt:>2')).toEqual({ 'error.code': 'ENOSPC', attempt: { $gt: 2 } })
  })

  it('finds times before and after now', () => {
    expect(filter('ended:<1h')).toEqual({ finishedAt: { $gte: iso(NOW - 3_600_000) } })
    expect(filter('created:>2d')).toEqual({ createdAt: { $lte: iso(NOW - 2 * 86_400_000) } })
    expect(filter('deadline:<15m')).toEqual({ deadline: { $lte: iso(NOW + 900_000) } })
    expect(filter('ended:>1h ended:<2h')).toEqual({
      $and: [{ finishedAt: { $lte: iso(NOW - 3_600_000) } }, { finishedAt: { $gte: iso(NOW - 7_200_000) } }],
    })
  })

  it('leaves out what it cannot use', () => {
    expect(filter('constructor:x ended:soon ubuntu')).toEqual({ title: { $contains: 'ubuntu' } })
  })
})

it('completes keys and values', () => {
  expect(proposals('sta', {})).toEqual(['status:', 'started:'])
  expect(proposals('name:a status:', { status: ['failed', 'running'] })).toEqual([
    'name:a status:failed',
    'name:a status:running',
  ])
  expect(proposals('ended:', {})[0]).toBe('ended:<15m')
  expect(proposals('queue:', { queue: ['the slow one'] })).toEqual(['queue:"the slow one"'])
})
