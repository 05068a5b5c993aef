export * from '@taskfleet/protocol'
export { KeyStore, LOCAL, type Principal } from './auth/key-store.ts'
export {
  newSigningKey,
  type Signature,
  type SigningAlgorithm,
  type SigningMode,
  type SigningOptions,
} from './auth/signing.ts'
export type * from './events/event-document.ts'
export { Fleet } from './fleet.ts'
export type * from './schedules/schedule-document.ts'
export type { TaskType } from './task/check-input.ts'
export { parseId } from './task/parse-value.ts'
export type * from './task/task-document.ts'
export { taskModel } from './task/task-model.ts'
export { asError } from './thrown.ts'
export { type WorkerDocument, workerModel } from './worker/worker-model.ts'
