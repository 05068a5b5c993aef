export { FleetError } from '../fleet-error.ts'
export type * from './api.ts'
export { FleetClient } from './fleet-client.ts'
export { mayPass } from './may-pass.ts'
