import { describe, expect, it } from 'vitest'
import { createRest } from './rest.ts'
import { wireError } from './wire-error.ts'

/** A gateway that answers all requests the same, and what it was asked. */
function answering(status: number, body?: unknown) {
  const asked: { url: string; method: string | undefined; headers: unknown; body: unknown }[] = []
  const send = (async (url: string, { method, headers, body: sent }: RequestInit = {}) => {
    asked.push({ url, method, headers, body: sent === undefined ? undefined : JSON.parse(String(sent)) })
    return new Response(body === undefined ? null : JSON.stringify(body), { status })
  }) as typeof fetch
  const session = { current: async () => 'ey.old', fresh: async () => 'ey.new' }
  return { asked, rest: createRest({ url: 'http://gateway', session, fetch: send }) }
}
const refusal = async (promise: Promise<unknown>) => wireError(await promise.catch((thrown: unknown) => thrown))

describe('the REST client', () => {
  it('sends its session in the header and the content as JSON', async () => {
    const { asked, rest } = answering(201, { _id: '1' })
    expect(await rest.postEvent({ _id: '1', name: 'Add', props: { a: 1 } })).toEqual({ _id: '1' })
    expect(asked).toEqual([
      {
        url: 'http://gateway/api/v1/events',
        method: 'POST',
        headers: { accept: 'application/json', authorization: 'Bearer ey.old', 'content-type': 'application/json' },
        body: { _id: '1', name: 'Add', props: { a: 1 } },
      },
    ])
  })

  it('asks again with a fresh session when the one it has is refused, and once only', async () => {
    const { asked, rest } = answering(401, { code: 'UNAUTHENTICATED', title: 'No' })
    expect(await refusal(rest.callbacks())).toMatchObject({ code: 'UNAUTHENTICATED' })
    expect(asked.map(({ headers }) => (headers as Record<string, string>).authorization)).toEqual([
      'Bearer ey.old',
      'Bearer ey.new',
    ])
  })

  it('takes lists out of their envelope', async () => {
    expect(await answering(200, { callbacks: [{ _id: '1' }] }).rest.callbacks()).toEqual([{ _id: '1' }])
  })

  it('understands an empty answer, and keeps an id inside its part of the path', async () => {
    const { asked, rest } = answering(204)
    await rest.removeEvent('../callbacks/1')
    expect(asked[0]).toMatchObject({ method: 'DELETE', url: 'http://gateway/api/v1/events/..%2Fcallbacks%2F1' })
  })

  it('rejects with the code, the title and the field of the problem', async () => {
    const { rest } = answering(400, { status: 400, title: 'No such name', code: 'BAD_NAME', field: 'name' })
    expect(await refusal(rest.callbacks())).toEqual({ code: 'BAD_NAME', message: 'No such name', field: 'name' })
  })

  it('rejects with what it knows where something else answers than the gateway, or nothing', async () => {
    expect(await refusal(answering(502).rest.callbacks())).toEqual({
      code: 'HTTP_502',
      message: 'The gateway answered 502',
    })
    const cut = createRest({
      url: '',
      session: undefined,
      fetch: async () => Promise.reject(new TypeError('fetch failed')),
    })
    expect(await refusal(cut.callbacks())).toMatchObject({ code: 'UNREACHABLE' })
  })
})
