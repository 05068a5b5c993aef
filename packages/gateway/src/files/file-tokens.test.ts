import { LOCAL } from '@taskfleet/core'
import { SigningKeys } from '@taskfleet/core/internal'
import { expect, test } from 'vitest'
import { Tickets } from '../tickets.ts'
import { FileTokens } from './file-tokens.ts'

test.each([[[]], [['s'.repeat(32)]]])(
  'a token is for the file of one task, for a minute, with the secrets %j',
  async (secrets) => {
    let now = new Date()
    const keys = new SigningKeys({ ticketSecret: async () => new Uint8Array(32).fill(7) }, secrets)
    const tokens = new FileTokens(keys, () => now)
    const [one, two] = ['a'.repeat(24), 'b'.repeat(24)]
    const token = await tokens.issue(one, LOCAL)
    const code = (text: string | undefined, id: string) => tokens.verify(text, id).catch(({ code }) => code)
    expect(await code(token, one)).toBe(LOCAL.id)
    expect([await code(token, two), await code(undefined, one), await code('tf_x_y', one)]).toEqual([
      ...['WRONG_AUDIENCE', 'UNAUTHENTICATED', 'UNAUTHENTICATED'],
    ])
    const tickets = new Tickets(keys, () => now)
    const ticket = await tickets.issue({ id: one, attempt: 1 }, LOCAL)
    expect(await code(ticket.token, one)).toMatch(/^(UNAUTHENTICATED|WRONG_AUDIENCE)$/)
    await expect(tickets.verify(token, { id: one, attempt: 1 })).rejects.toMatchObject({
      code: expect.stringMatching(/^(UNAUTHENTICATED|WRONG_AUDIENCE)$/),
    })
    now = new Date(now.getTime() + 125_000)
    expect(await code(token, one)).toBe('TOKEN_EXPIRED')
  },
)
