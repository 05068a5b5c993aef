export { durationText, milliseconds, shortDuration } from './duration.ts'
export * from './errors.ts'
export type { FleetControl } from './fleet-control.ts'
export { type FleetOperations, OPERATIONS, type Operation, type OperationHandlers } from './operations.ts'
export * from './protocol.ts'
export {
  declareTask,
  type LabelsOf,
  namingOf,
  type TaskContract,
  type TaskDeclaration,
  type TaskNaming,
  type TitleOf,
} from './task-contract.ts'
export { parseJson } from './values/json.ts'
export { VERSION } from './version.ts'
