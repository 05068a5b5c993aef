import { describe, expect, test } from 'vitest'
import { newSecret, parseSecrets, SigningKeys } from './fleet-secret.ts'

const storing = (text: string) => ({ ticketSecret: async () => Buffer.from(text.padEnd(32, '.')) })
const ONE = 'one '.repeat(8).trim().replaceAll(' ', '-').padEnd(32, '1')
const TWO = 'two-two-two-two-two-two-two-two-2'

describe('a secret', () => {
  test('that is new is long enough and different each time', () => {
    const made = newSecret()
    expect(parseSecrets(made)).toEqual([made])
    expect(newSecret()).not.toBe(made)
  })

  test('is one of several, with commas or in lines', () => {
    expect(parseSecrets(`${ONE}, ${TWO}`)).toEqual([ONE, TWO])
    expect(parseSecrets(`${ONE}\r\n${TWO}\n\n`)).toEqual([ONE, TWO])
    expect(parseSecrets(undefined)).toEqual([])
    expect(parseSecrets(' \n')).toEqual([])
  })

  test('that is too short is rejected, and the error does not quote it', () => {
    const refusal = (text: string): unknown => {
      try {
        return parseSecrets(text)
      } catch (error) {
        return error
      }
    }
    expect(refusal('hunter2')).toMatchObject({ code: 'BAD_SECRET', message: expect.not.stringContaining('hunter2') })
    expect(refusal(`${ONE},hunter2`)).toMatchObject({ message: expect.stringMatching(/^Secret 2 of 2 has 7 bytes/) })
    expect(refusal('é'.repeat(16))).toHaveLength(1)
  })
})

describe('the keys of a fleet', () => {
  test('follow from its secret and its database, and differ by the kind of token', async () => {
    const keyOf = async (stored: string, secrets: string[], kind: 'session' | 'ticket' = 'session') =>
      Buffer.from((await new SigningKeys(storing(stored), secrets).signing(kind)).key).toString('hex')
    const key = await keyOf('here', [ONE])
    expect(await keyOf('here', [ONE])).toBe(key)
    const others = [await keyOf('here', [TWO]), await keyOf('there', [ONE]), await keyOf('here', [ONE], 'ticket')]
    expect(new Set([key, ...others]).size).toBe(4)
  })

  test('sign with the first secret and verify with all, so that a secret can be replaced', async () => {
    const before = new SigningKeys(storing('here'), [ONE, TWO])
    const after = new SigningKeys(storing('here'), [TWO, ONE])
    const { id, key } = await before.signing('ticket')
    expect(await after.verifying('ticket', id)).toEqual(key)
    expect((await after.signing('ticket')).id).not.toBe(id)
    expect(await after.ids()).toEqual([...(await before.ids())].reverse())
    const done = new SigningKeys(storing('here'), [TWO])
    await expect(done.verifying('ticket', id)).rejects.toMatchObject({ code: 'SECRET_MISMATCH' })
  })

  test('without a secret come from the database, as in earlier versions', async () => {
    const weak = new SigningKeys(storing('here'))
    const stored = await storing('here').ticketSecret()
    const { id } = await weak.signing('session')
    expect(await weak.verifying('session', id)).toEqual(stored)
    expect(await weak.verifying('session', undefined)).toEqual(stored)
    expect([weak.weak, await weak.ids()]).toEqual([true, []])
  })

  test("with a secret reject tokens that only the database's secret signed", async () => {
    const { id } = await new SigningKeys(storing('here')).signing('session')
    const strong = new SigningKeys(storing('here'), [ONE])
    await expect(strong.verifying('session', id)).rejects.toMatchObject({ code: 'SECRET_MISMATCH' })
    await expect(strong.verifying('session', undefined)).rejects.toMatchObject({ code: 'UNAUTHENTICATED' })
  })

  test('are read again after the database was away', async () => {
    let away = true
    const keys = new SigningKeys({
      ticketSecret: async () => {
        if (away) throw new Error('away')
        return Buffer.alloc(32)
      },
    })
    await expect(keys.signing('session')).rejects.toThrow('away')
    away = false
    expect(await keys.signing('session')).toMatchObject({ id: 'database' })
  })
})
