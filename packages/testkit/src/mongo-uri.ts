import { inject } from 'vitest'
import './global-setup.ts'

/** The server of this test process, without the name of a database. */
export function mongoUri(): string {
  const uris = inject('mongoUris')
  return uris[Number(process.env.VITEST_POOL_ID) % uris.length]!
}
