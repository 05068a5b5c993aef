import { describe, expect, it } from 'vitest'
import { createSessions, Session } from './session.ts'
import { wireError } from './wire-error.ts'

type Answer = { status: number; body?: object } | Error

/** A gateway whose answers the test sets, and the keys that it received. */
function gateway(...answers: Answer[]) {
  const shown: string[] = []
  const send = (async (url: string, { method, headers }: RequestInit = {}) => {
    shown.push(`${method} ${url} ${(headers as Record<string, string>).authorization}`)
    const answer = answers.length > 1 ? answers.shift()! : answers[0]!
    if (answer instanceof Error) throw answer
    return new Response(JSON.stringify(answer.body ?? {}), { status: answer.status })
  }) as typeof fetch
  return { shown, send }
}
const made = (token: string): Answer => ({ status: 201, body: { token, expiresAt: '2027-01-01T00:10:00.000Z' } })
const refused = (status: number, code: string): Answer => ({ status, body: { code, title: `No: ${code}` } })

function opened(...answers: Answer[]) {
  const { shown, send } = gateway(...answers)
  const gone: string[] = []
  const session = new Session({ key: 'tf_key', onRefused: () => gone.push('gone'), fetch: send })
  return { session, shown, gone }
}
const refusal = async (promise: Promise<unknown>) => wireError(await promise.catch((thrown: unknown) => thrown))

describe('a session', () => {
  it('is made with the key, which is shown to nothing else', async () => {
    const { session, shown } = opened(made('ey.one'))
    expect(await session.fresh('http://gw')).toBe('ey.one')
    expect(shown).toEqual(['POST http://gw/api/v1/sessions Bearer tf_key'])
  })

  it('is a new one for each connection, made at its gateway', async () => {
    const { session, shown } = opened(made('ey.one'), made('ey.two'), made('ey.three'))
    expect(await session.fresh('http://gw')).toBe('ey.one')
    expect(await Promise.all([session.fresh('http://gw'), session.fresh('http://other')])).toEqual([
      'ey.two',
      'ey.three',
    ])
    expect(shown.at(-1)).toBe('POST http://other/api/v1/sessions Bearer tf_key')
  })

  it('is requested once for simultaneous callers', async () => {
    const { session, shown } = opened(made('ey.one'))
    expect(
      await Promise.all([session.fresh('http://gw'), session.fresh('http://gw'), session.fresh('http://gw')]),
    ).toEqual(Array(3).fill('ey.one'))
    expect(shown).toHaveLength(1)
  })

  it('distinguishes a key that was never valid from one that no longer is, and drops both', async () => {
    const never = opened(refused(401, 'UNAUTHENTICATED'))
    expect((await refusal(never.session.fresh('http://gw'))).message).toContain('not valid for this fleet')
    const once = opened(made('ey.one'), refused(401, 'UNAUTHENTICATED'))
    await once.session.fresh('http://gw')
    expect(await refusal(once.session.fresh('http://gw'))).toMatchObject({
      code: 'UNAUTHENTICATED',
      message: 'The key of this page is no longer valid. It was revoked or has expired.',
    })
    expect([never.gone, once.gone]).toEqual([['gone'], ['gone']])
  })

  it('survives a gateway that is away or busy: temporary errors are no refusal', async () => {
    const { session, gone } = opened(
      made('ey.one'),
      new TypeError('fetch failed'),
      { status: 503 },
      refused(429, 'RATE_LIMITED'),
      made('ey.two'),
    )
    await session.fresh('http://gw')
    const codes = []
    for (let time = 0; time < 3; time += 1) codes.push((await refusal(session.fresh('http://gw'))).code)
    expect(codes).toEqual(['UNREACHABLE', 'HTTP_503', 'BUSY'])
    expect(await session.fresh('http://gw')).toBe('ey.two')
    expect(gone).toEqual([])
  })

  it('reports too many wrong keys, and a key without the scope read', async () => {
    expect((await refusal(opened(refused(429, 'RATE_LIMITED')).session.fresh('http://gw'))).code).toBe('RATE_LIMITED')
    expect((await refusal(opened(refused(403, 'FORBIDDEN')).session.fresh('http://gw'))).code).toBe('FORBIDDEN')
  })

  it('belongs to its key', () => {
    const sessionOf = createSessions({})
    const one = sessionOf('tf_one')
    expect(sessionOf('tf_one')).toBe(one)
    expect(sessionOf('tf_other')).not.toBe(one)
  })
})
