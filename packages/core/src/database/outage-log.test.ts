import { pino } from 'pino'
import { expect, test } from 'vitest'
import { withoutOutages } from './outage-log.ts'

test('an error is logged as the logger does it, without the secrets that its texts quote', () => {
  const lines: Record<string, unknown>[] = []
  const log = withoutOutages(pino({ level: 'info' }, { write: (line: string) => void lines.push(JSON.parse(line)) }))
  const cause = new Error('GET https://host/?X-Amz-Signature=hunter2')
  const error = Object.assign(new TypeError('mongodb://ana:hunter2@host/ is away', { cause }), {
    code: 'AWAY',
    answer: 'authorization: Bearer hunter2hunter2',
    status: 503,
  })
  log.warn({ err: error }, 'it failed')
  log.child({ part: 'x' }).info({ err: error }, 'it failed')
  expect(JSON.stringify(lines)).not.toMatch(/hunter2/)
  for (const line of lines) {
    expect(line).toMatchObject({
      msg: 'it failed',
      err: {
        type: 'TypeError',
        message: expect.stringContaining('mongodb://***@host/ is away'),
        stack: expect.stringContaining('outage-log.test.ts'),
        code: 'AWAY',
        status: 503,
      },
    })
  }
})

test('a value that is not an error is logged as it is', () => {
  const lines: Record<string, unknown>[] = []
  const log = withoutOutages(pino({}, { write: (line: string) => void lines.push(JSON.parse(line)) }))
  for (const err of ['token=hunter2', null, 7]) log.error({ err })
  expect(lines.map(({ err }) => err)).toEqual(['token=***', null, 7])
})
