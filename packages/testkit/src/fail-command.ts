import type { mongo } from 'mongoose'

/** How commands fail: https://github.com/mongodb/mongo/wiki/The-%22failCommand%22-fail-point */
export interface CommandFailure {
  failCommands: readonly string[]
  /** Refused before it is executed. */
  errorCode?: number
  /** Executed, but not confirmed. */
  writeConcernError?: { code: number; errmsg: string }
  /** The connection breaks before it is executed. */
  closeConnection?: boolean
  errorLabels?: readonly string[]
  /** Only commands of clients of this name. */
  appName?: string
}

/** Lets the next commands of these names fail; needs a server that was started with test commands. Returns its undo. */
export async function failCommand(
  db: mongo.Db,
  failure: CommandFailure,
  times: number | 'always' = 'always',
): Promise<() => Promise<void>> {
  const admin = db.client.db('admin')
  const mode = times === 'always' ? 'alwaysOn' : { times }
  await admin.command({ configureFailPoint: 'failCommand', mode, data: failure })
  return async () => {
    await admin.command({ configureFailPoint: 'failCommand', mode: 'off' })
  }
}
