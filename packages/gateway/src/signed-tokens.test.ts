import { KeyStore } from '@taskfleet/core'
import { SigningKeys } from '@taskfleet/core/internal'
import { expect, test } from 'vitest'
import { Sessions } from './sessions.ts'
import { Tickets } from './tickets.ts'

class Keys extends KeyStore {
  readonly #secret: () => Promise<Uint8Array>

  constructor(secret: () => Promise<Uint8Array>) {
    super({ collection: () => ({}) } as never)
    this.#secret = secret
  }
  override ticketSecret(): Promise<Uint8Array> {
    return this.#secret()
  }
}

test('a token that can not be checked is not called invalid', async () => {
  const there = new Keys(async () => new Uint8Array(32))
  const away = new Keys(() => Promise.reject(new Error('the database is away')))
  const now = () => new Date()
  const task = { id: 'a', attempt: 1 }
  const session = await new Sessions(there, now).issue({ id: 'k' })
  const ticket = await new Tickets(new SigningKeys(there), now).issue(task, { id: 'k', scopes: [] })
  await expect(new Sessions(away, now).verify(session.token)).rejects.toThrow('the database is away')
  await expect(new Tickets(new SigningKeys(away), now).verify(ticket.token, task)).rejects.toThrow(
    'the database is away',
  )
})
