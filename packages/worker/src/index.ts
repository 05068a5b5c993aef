export { Fleet } from '@taskfleet/core'
export { GatewayHost, type GatewayHostOptions } from '@taskfleet/gateway/host'
export {
  AttemptAborted,
  type Duration,
  FleetError,
  milliseconds,
  RetryAfterError,
  SnoozeError,
  UnrecoverableError,
} from '@taskfleet/protocol'
export { type DeclaredTask, declareTask, defineTask, type HandlerDefinition } from './define-task.ts'
export type * from './handler.ts'
export type { IsolateOption, Isolation } from './isolate/isolation.ts'
export type { LoadThresholds } from './load/thresholds.ts'
export { type LeaseView, Task } from './task.ts'
export { TaskFactory } from './task-factory.ts'
export { type RunnerEvents, TaskRunner, type TaskRunnerOptions } from './task-runner.ts'
export type { SecretSource } from './task-secrets.ts'
