import { describe, expect, it } from 'vitest'
import { listSetAside } from './set-aside.ts'
import { wireError } from './wire-error.ts'

/** A gateway that answers all requests the same, and what it was shown. */
function answering(status: number, body?: unknown) {
  const shown: string[] = []
  const send = (async (url: string, { method, headers }: RequestInit = {}) => {
    shown.push(`${method} ${url} ${(headers as Record<string, string>).authorization}`)
    return new Response(body === undefined ? null : JSON.stringify(body), { status })
  }) as typeof fetch
  const session = { current: async () => 'ey.old', fresh: async () => 'ey.new' }
  return { shown, list: listSetAside({ url: 'http://gateway', session, fetch: send }) }
}
const refusal = async (promise: Promise<unknown>) => wireError(await promise.catch((thrown: unknown) => thrown))

describe('listing what is set aside', () => {
  it('shows the session, and takes the list out of its envelope', async () => {
    const { shown, list } = answering(200, { documents: [{ id: '1' }] })
    expect(await list()).toEqual([{ id: '1' }])
    expect(shown).toEqual(['GET http://gateway/api/v1/set-aside Bearer ey.old'])
  })

  it('asks again with a fresh session when the one it has is refused, and once only', async () => {
    const { shown, list } = answering(401, { code: 'UNAUTHENTICATED', title: 'No' })
    expect(await refusal(list())).toEqual({ code: 'UNAUTHENTICATED', message: 'No' })
    expect(shown.map((line) => line.split(' ').at(-1))).toEqual(['ey.old', 'ey.new'])
  })

  it('rejects with what it knows where something else answers than the gateway, or nothing', async () => {
    expect(await refusal(answering(502).list())).toEqual({ code: 'HTTP_502', message: 'The gateway answered 502' })
    const fetch = async () => Promise.reject(new TypeError('fetch failed'))
    const cut = listSetAside({ url: '', session: undefined, fetch })
    expect(await refusal(cut())).toMatchObject({ code: 'UNREACHABLE' })
  })
})
