// Plain JavaScript: the renewing thread starts from files as they are, whether from the sources or from the build.

/** Milliseconds that never go back and mean the same in every thread of the process. */
export const monotonicMs = () => Number(process.hrtime.bigint() / 1_000n) / 1_000

/**
 * Renews a session by one write.
 *
 * @import { Collection } from 'mongodb'
 * @import { RenewalOrder, RenewalReport } from './renewal-messages.ts'
 * @param {() => Promise<Pick<Collection, 'findOneAndUpdate'>>} connected returns the collection of sessions
 * @param {NonNullable<RenewalOrder['renew']>} order
 * @returns {Promise<RenewalReport>}
 */
export async function renew(connected, { session, filter, update }) {
  const sentAt = monotonicMs()
  /** @type {RenewalReport} */
  const report = { session, sentAt, receivedAt: sentAt, beat: null }
  try {
    const workers = await connected()
    const answer = await workers.findOneAndUpdate(filter, update, {
      returnDocument: 'after',
      projection: { heartbeatAt: 1, control: 1 },
    })
    report.beat = answer === null ? null : { heartbeatAt: answer.heartbeatAt, control: answer.control }
  } catch (error) {
    report.error = error instanceof Error ? error.message : String(error)
  }
  report.receivedAt = monotonicMs()
  return report
}
