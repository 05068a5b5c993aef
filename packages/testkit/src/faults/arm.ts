import { MongoTaskStore, Schedules } from '@taskfleet/core/internal'
import { faultPoint } from './fault-point.ts'

/**
 * Loaded before the command (`node --import`): puts fault points around the most critical writes. Published code
 * has none.
 */
const { claim, settle } = MongoTaskStore.prototype
const { advance } = Schedules.prototype

MongoTaskStore.prototype.claim = async function (...args) {
  faultPoint('claim', 'before')
  const claimed = await claim.apply(this, args)
  if (claimed.length > 0) faultPoint('claim', 'acked')
  return claimed
}

MongoTaskStore.prototype.settle = async function (ended, outcome, progress) {
  faultPoint(outcome.verb, 'before')
  faultPoint(outcome.verb, 'sent', ended.leaseId)
  const settled = await settle.call(this, ended, outcome, progress)
  faultPoint(outcome.verb, 'acked')
  return settled
}

Schedules.prototype.advance = async function (firing) {
  if (firing.run.length > 0) faultPoint('schedule', 'middle')
  return await advance.call(this, firing)
}
