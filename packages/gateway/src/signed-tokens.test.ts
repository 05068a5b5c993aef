import { KeyStore } from '@taskfleet/core'
import { expect, test } from 'vitest'
import { Sessions } from './sessions.ts'
import { Tickets } from './tickets.ts'

class AwayKeys extends KeyStore {
  constructor() {
    super({ collection: () => ({}) } as never)
  }
  override ticketSecret(): Promise<Uint8Array> {
    return Promise.reject(new Error('the database is away'))
  }
}

test('a token that can not be checked is not called invalid', async () => {
  const keys = new AwayKeys()
  const now = () => new Date()
  await expect(new Sessions(keys, now).verify('ey')).rejects.toThrow('the database is away')
  await expect(new Tickets(keys, now).verify('ey', { id: 'a', attempt: 1 })).rejects.toThrow('the database is away')
})
