export {
  AttemptAborted,
  FleetError,
  milliseconds,
  RetryAfterError,
  SnoozeError,
  UnrecoverableError,
} from '@taskfleet/core'
export type { Duration } from '@taskfleet/core/protocol'
export { defineTask } from './define-task.ts'
export { Gateway, type GatewayOptions, type ListenAddress } from './gateway/gateway.ts'
export { GatewayHost, type GatewayHostOptions } from './gateway/gateway-host.ts'
export type * from './handler.ts'
export type { IsolateOption, Isolation } from './isolate/isolation.ts'
export type { LoadThresholds } from './load/thresholds.ts'
export { ReadyList } from './ready-list.ts'
export { type LeaseView, Task } from './task.ts'
export { TaskFactory } from './task-factory.ts'
export { type RunnerEvents, TaskRunner, type TaskRunnerOptions } from './task-runner.ts'
